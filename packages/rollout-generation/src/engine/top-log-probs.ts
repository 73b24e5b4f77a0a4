import { logSumExp } from "@plumbline/runtime"
import type { TokenLogProb } from "../request.ts"

/** The `count` most likely tokens of a row of logits, by falling log-prob, equal ones by id. */
export const topLogProbs = (logits: Float32Array, count: number): ReadonlyArray<TokenLogProb> => {
  if (count === 0) return []
  const best: Array<number> = []
  for (let id = 0; id < logits.length; id++) {
    if (best.length === count && logits[id]! <= logits[best.at(-1)!]!) continue
    let at = best.length
    while (at > 0 && logits[id]! > logits[best[at - 1]!]!) at--
    best.splice(at, 0, id)
    if (best.length > count) best.pop()
  }
  const normalizer = logSumExp(logits)
  return best.map((id) => ({ id, logProb: logits[id]! - normalizer }))
}

/** log π of one token, nats. */
export const logProbOf = (logits: Float32Array, id: number): number => logits[id]! - logSumExp(logits)
