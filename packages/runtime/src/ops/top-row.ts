import { logSumExp } from "./sample-row.ts"

/** The most likely tokens of a row of logits. */
export interface TopRow {
  readonly ids: Int32Array
  /** nats */
  readonly logProbs: Float32Array
  readonly targetLogProb: number
}

/** What `topLogProbs` says of one row; a pure function of its arguments. @param count from 1 to the row's length */
export const topRow = (logits: Float32Array, target: number, count: number): TopRow => {
  const normalizer = logSumExp(logits)
  const ids = mostLikely(logits, count)
  return {
    ids: Int32Array.from(ids),
    logProbs: Float32Array.from(ids, (id) => logits[id]! - normalizer),
    targetLogProb: logits[target]! - normalizer
  }
}

const mostLikely = (logits: Float32Array, count: number): ReadonlyArray<number> => {
  const best: Array<number> = []
  // of the last one, once there are enough
  let least = Number.NaN
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (logit <= least) continue
    let at = best.length
    while (at > 0 && logit > logits[best[at - 1]!]!) at--
    best.splice(at, 0, id)
    if (best.length > count) best.pop()
    if (best.length === count) least = logits[best.at(-1)!]!
  }
  return best
}
