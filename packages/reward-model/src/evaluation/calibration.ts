/** Pairs whose winner the model is about as sure of. */
export interface CalibrationBin {
  /** Confidences in [from, to). */
  readonly from: number
  readonly to: number
  readonly pairs: number
  /** Mean probability that the model gives its own choice. */
  readonly confidence: number
  /** Share of its choices that are right. */
  readonly accuracy: number
}

export interface Calibration {
  /** Expected calibration error: Σ over bins of pairs/all · |accuracy − confidence|. @see Guo et al. 2017, https://arxiv.org/abs/1706.04599 */
  readonly error: number
  /** Those that hold a pair. */
  readonly bins: ReadonlyArray<CalibrationBin>
}

/**
 * How well σ(|gap|), the Bradley-Terry probability of the response that the model prefers, says how often it is right.
 *
 * @param gaps  score of the chosen response minus that of the rejected one; a tie is right half the time
 * @param count equal bins of [½, 1]
 */
export const calibration = (gaps: ReadonlyArray<number>, count = 10): Calibration => {
  const width = 0.5 / count
  const placed = gaps.map((gap) => {
    const confidence = 1 / (1 + Math.exp(-Math.abs(gap)))
    const bin = Math.min(count - 1, Math.floor((confidence - 0.5) / width))
    return { bin, confidence, right: gap > 0 ? 1 : gap === 0 ? 0.5 : 0 }
  })
  const bins = Array.from({ length: count }, (_, i) => {
    const held = placed.filter(({ bin }) => bin === i)
    return {
      from: 0.5 + i * width,
      to: 0.5 + (i + 1) * width,
      pairs: held.length,
      confidence: mean(held.map(({ confidence }) => confidence)),
      accuracy: mean(held.map(({ right }) => right))
    }
  }).filter(({ pairs }) => pairs > 0)
  const error = bins.reduce(
    (sum, { accuracy, confidence, pairs }) => sum + (pairs / gaps.length) * Math.abs(accuracy - confidence),
    0
  )
  return { error, bins }
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length
