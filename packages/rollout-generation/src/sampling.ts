export interface SamplingOptions {
  /** Divides the logits; 0 takes the most likely token. */
  readonly temperature: number
  /** Only the k most likely tokens; 0 = all. */
  readonly topK: number
  /** Only the most likely tokens whose probabilities reach p; 1 = all. */
  readonly topP: number
}

export interface SampledToken {
  readonly id: number
  /** log π of the token under the policy itself: temperature 1, nothing filtered; nats */
  readonly logProb: number
}

/**
 * One token from a row of logits: temperature, then top-k, then top-p, then the inverse of the distribution
 * function at `uniform`. A pure function, so a sample depends on nothing else.
 *
 * @param logits  [V] float32
 * @param uniform in [0, 1)
 * @see Holtzman et al. 2019 (top-p), https://arxiv.org/abs/1904.09751
 */
export const sampleToken = (logits: Float32Array, options: SamplingOptions, uniform: number): SampledToken => {
  const id = options.temperature === 0 ? mostLikely(logits) : draw(logits, options, uniform)
  return { id, logProb: logits[id]! - logSumExp(logits) }
}

const mostLikely = (logits: Float32Array): number => {
  let best = 0
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id
  return best
}

const logSumExp = (logits: Float32Array): number => {
  const top = logits[mostLikely(logits)]!
  let sum = 0
  for (const logit of logits) sum += Math.exp(logit - top)
  return top + Math.log(sum)
}

const draw = (logits: Float32Array, { temperature, topK, topP }: SamplingOptions, uniform: number): number => {
  const candidates = topK > 0 || topP < 1 ? ranked(logits, topK) : undefined
  const at = (rank: number) => (candidates === undefined ? rank : candidates[rank]!)
  const count = candidates?.length ?? logits.length
  const top = logits[mostLikely(logits)]!
  const weights = new Float64Array(count)
  let total = 0
  for (let rank = 0; rank < count; rank++) total += weights[rank] = Math.exp((logits[at(rank)]! - top) / temperature)
  const kept = topP < 1 ? nucleus(weights, total * topP) : { count, total }
  let rest = uniform * kept.total
  for (let rank = 0; rank < kept.count; rank++) {
    rest -= weights[rank]!
    if (rest < 0) return at(rank)
  }
  return at(kept.count - 1)
}

/** Token ids by falling logit, equal ones by id; the first k of them. */
const ranked = (logits: Float32Array, topK: number): ReadonlyArray<number> => {
  const ids = Array.from(logits, (_, id) => id).toSorted((a, b) => logits[b]! - logits[a]! || a - b)
  return topK > 0 ? ids.slice(0, topK) : ids
}

/** The shortest prefix of falling weights that reaches `mass`; at least one. */
const nucleus = (weights: Float64Array, mass: number) => {
  let total = 0
  for (let count = 0; count < weights.length; count++) {
    total += weights[count]!
    if (total >= mass) return { count: count + 1, total }
  }
  return { count: weights.length, total }
}
