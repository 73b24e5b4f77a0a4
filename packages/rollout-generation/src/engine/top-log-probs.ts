import { logSumExp } from "@plumbline/runtime"
import type { TokenLogProb } from "../request.ts"

/** The `count` most likely tokens of a row of logits, by falling log-prob, equal ones by id. */
export const topLogProbs = (logits: Float32Array, count: number): ReadonlyArray<TokenLogProb> =>
  count === 0 ? [] : mostLikely(logits, count, logSumExp(logits))

/** log π of one token, nats, and the `count` most likely ones beside it. */
export const scoresOf = (
  logits: Float32Array,
  id: number,
  count: number
): { readonly logProb: number; readonly top: ReadonlyArray<TokenLogProb> } => {
  const normalizer = logSumExp(logits)
  return { logProb: logits[id]! - normalizer, top: mostLikely(logits, count, normalizer) }
}

const mostLikely = (logits: Float32Array, count: number, normalizer: number): ReadonlyArray<TokenLogProb> => {
  const best: Array<number> = []
  if (count === 0) return []
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
  return best.map((id) => ({ id, logProb: logits[id]! - normalizer }))
}
