import type { SamplingOptions } from "../sampling/options.ts"

/**
 * What the options make of a policy, written down a second time in float64: by definition, not by speed.
 *
 * @param logits [V]
 * @returns [V] probabilities of the next token
 */
export const samplingDistribution = (
  logits: ArrayLike<number>,
  promptIds: ReadonlyArray<number>,
  response: ReadonlyArray<number>,
  options: SamplingOptions
): ReadonlyArray<number> => {
  const shaped = Array.from(logits, (logit, id) => changed(logit, id, promptIds, response, options))
  if (options.temperature === 0) return shaped.map((_, id) => (id === shaped.indexOf(Math.max(...shaped)) ? 1 : 0))
  const top = Math.max(...shaped)
  const whole = normalised(shaped.map((logit) => Math.exp((logit - top) / options.temperature)))
  const few = options.topK === 0 ? whole : normalised(kept(whole, (_, before) => before.length < options.topK))
  const nucleus = kept(few, (_, before) => before.length === 0 || sum(before) < options.topP - 1e-9)
  const likeliest = Math.max(...nucleus)
  return normalised(nucleus.map((p) => (p >= options.minP * likeliest ? p : 0)))
}

const changed = (
  logit: number,
  id: number,
  promptIds: ReadonlyArray<number>,
  response: ReadonlyArray<number>,
  options: SamplingOptions
): number => {
  const { allowedTokens, frequencyPenalty, logitBias, minNewTokens, presencePenalty, repetitionPenalty } = options
  const count = response.filter((token) => token === id).length
  if (response.length < minNewTokens && options.stopIds.includes(id)) return -Infinity
  if (allowedTokens !== undefined && !allowedTokens.includes(id)) return -Infinity
  const penalty = count > 0 || promptIds.includes(id) ? repetitionPenalty : 1
  const scaled = logit > 0 ? logit / penalty : logit * penalty
  return scaled - (count > 0 ? presencePenalty : 0) - count * frequencyPenalty + (logitBias[id] ?? 0)
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, x) => total + x, 0)

const normalised = (weights: ReadonlyArray<number>): ReadonlyArray<number> => weights.map((w) => w / sum(weights))

/** Probabilities by falling size as long as `keeps` agrees; the others become 0. */
const kept = (
  probabilities: ReadonlyArray<number>,
  keeps: (p: number, before: ReadonlyArray<number>) => boolean
): ReadonlyArray<number> => {
  const order = [...probabilities.keys()].toSorted((a, b) => probabilities[b]! - probabilities[a]!)
  const sorted = order.map((id) => probabilities[id]!)
  const stays = new Set(order.filter((_, place) => keeps(sorted[place]!, sorted.slice(0, place))))
  return probabilities.map((p, id) => (stays.has(id) ? p : 0))
}

/**
 * Probability of every response there can be, by its ids joined with spaces.
 *
 * @param logitsAfter [V] what the policy says after these tokens
 */
export const responseProbabilities = (
  promptIds: ReadonlyArray<number>,
  options: SamplingOptions,
  logitsAfter: (ids: ReadonlyArray<number>) => ArrayLike<number>
): ReadonlyMap<string, number> => {
  const found = new Map<string, number>()
  const grow = (response: ReadonlyArray<number>, mass: number): void => {
    const stopped = response.length > 0 && options.stopIds.includes(response.at(-1)!)
    if (stopped || response.length === options.maxNewTokens) return void found.set(response.join(" "), mass)
    const next = samplingDistribution(logitsAfter([...promptIds, ...response]), promptIds, response, options)
    next.forEach((p, id) => p > 0 && grow([...response, id], mass * p))
  }
  grow([], 1)
  return found
}
