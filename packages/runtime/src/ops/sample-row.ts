import { keptTokens } from "./kept-tokens.ts"

/** What one row draws with. */
export interface RowDraw {
  /** in [0, 1): the token is where the distribution function, by rising id, first exceeds it */
  readonly uniform: number
  /** Divides the logits; 0 takes the most likely token, the lower id of equal ones. */
  readonly temperature: number
  /** 0 = all */
  readonly topK: number
  /** Of what top-k kept; 1 = all. */
  readonly topP: number
  /** 0 = all */
  readonly minP: number
  /** Logits that differ from the policy's: see `LogitEdits`. */
  readonly editIds: Int32Array
  readonly edits: Float32Array
  /** Token ids that may be drawn; undefined = all. */
  readonly allowed: Int32Array | undefined
}

export interface DrawnToken {
  /** −1 where the logits are not finite or nothing may be drawn; the log-probs are NaN then. */
  readonly id: number
  /** nats, under the distribution it was drawn from; 0 at temperature 0 */
  readonly samplingLogProb: number
  /** nats, under the softmax of the logits as they came */
  readonly policyLogProb: number
}

const NOTHING: DrawnToken = { id: -1, samplingLogProb: NaN, policyLogProb: NaN }

/**
 * One token from a row of logits: edits, allowed tokens, temperature, top-k, top-p, min-p, then the inverse of the
 * distribution function at `uniform`. A pure function of its arguments.
 *
 * @param logits [V] float32
 * @see Holtzman et al. 2019 (top-p), https://arxiv.org/abs/1904.09751; Nguyen et al. 2024 (min-p),
 *   https://arxiv.org/abs/2407.01082; Keskar et al. 2019 (repetition penalty), https://arxiv.org/abs/1909.05858
 */
export const sampleRow = (logits: Float32Array, draw: RowDraw): DrawnToken => {
  const shaped = shapedLogits(logits, draw)
  const best = mostLikely(shaped)
  if (!Number.isFinite(shaped[best]!)) return NOTHING
  const plain = shaped === logits && draw.temperature === 1
  const drawn = draw.temperature === 0 ? { id: best, logProb: 0 } : drawFrom(shaped, shaped[best]!, draw)
  const unfiltered = draw.topP === 1 && draw.minP === 0 && isAll(draw.topK, logits.length)
  const policyLogProb = plain && unfiltered ? drawn.logProb : logits[drawn.id]! - logSumExp(logits)
  if (!Number.isFinite(policyLogProb) || Number.isNaN(drawn.logProb)) return NOTHING
  return { id: drawn.id, samplingLogProb: drawn.logProb, policyLogProb }
}

export const mostLikely = (logits: Float32Array): number => {
  let best = 0
  let top = logits[0]!
  for (let id = 1; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit > top) [best, top] = [id, logit]
  }
  return best
}

/** Log of the softmax's normalizer, NaN where a logit is not a number. */
export const logSumExp = (logits: Float32Array): number => {
  const top = logits[mostLikely(logits)]!
  let sum = 0
  for (let id = 0; id < logits.length; id++) sum += Math.exp(logits[id]! - top)
  return top + Math.log(sum)
}

const isAll = (topK: number, vocabulary: number): boolean => topK === 0 || topK >= vocabulary

const shapedLogits = (logits: Float32Array, { allowed, editIds, edits }: RowDraw): Float32Array => {
  if (editIds.length === 0 && allowed === undefined) return logits
  const shaped = logits.slice()
  for (let i = 0; i < editIds.length; i++) {
    const id = editIds[i]!
    const [penalty, addend] = [edits[2 * i]!, edits[2 * i + 1]!]
    const logit = shaped[id]!
    shaped[id] = (logit > 0 ? logit / penalty : logit * penalty) + addend
  }
  if (allowed === undefined) return shaped
  const open = new Float32Array(logits.length).fill(-Infinity)
  for (const id of allowed) open[id] = shaped[id]!
  return open
}

/** Weights of the vocabulary, reused from row to row. */
let scratch = new Float64Array(0)

const drawFrom = (logits: Float32Array, top: number, draw: RowDraw): { id: number; logProb: number } => {
  const { minP, temperature, topK, topP, uniform } = draw
  const count = logits.length
  if (scratch.length < count) scratch = new Float64Array(count)
  const weights = scratch
  let total = 0
  for (let id = 0; id < count; id++) total += weights[id] = Math.exp((logits[id]! - top) / temperature)
  if (!isAll(topK, count) || topP < 1 || minP > 0) {
    total = keptTokens(weights.subarray(0, count), total, { topK: isAll(topK, count) ? count : topK, topP, minP })
  }
  const id = inverse(weights, count, uniform * total)
  return { id, logProb: Math.log(weights[id]! / total) }
}

/** The first id at which the running sum of weights exceeds `mass`; the last one with a weight where rounding hides it. */
const inverse = (weights: Float64Array, count: number, mass: number): number => {
  let sum = 0
  let last = 0
  for (let id = 0; id < count; id++) {
    const weight = weights[id]!
    if (weight === 0) continue
    sum += weight
    last = id
    if (sum > mass) return id
  }
  return last
}
