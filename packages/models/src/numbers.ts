import type { DecoderConfig } from "./config/decoder-config.ts"
import { elementCount } from "./decoder/parameter.ts"
import { causalParameters } from "./decoder/parameter-table.ts"

/** Numbers in the model's weights; a tied output matrix counts once. */
export const parameterCount = (config: DecoderConfig): number =>
  causalParameters(config).reduce((total, { shape }) => total + elementCount(shape), 0)

/** The numbers that a token is computed with: of a mixture, those of the experts it goes to. */
export const activeParameterCount = (config: DecoderConfig): number =>
  causalParameters(config).reduce((total, { shape, use = 1 }) => total + use * elementCount(shape), 0)

/**
 * Model FLOPs of training on one token of rows of `length` tokens, forward and backward:
 *
 *   6·N + 12·H·d·Σ_layers (w − w²/2T),   w = min(window, T)
 *
 * which for full attention is 6·N + 6·layers·H·d·T. N counts the output matrix and not an embedding of its own,
 * whose rows are looked up, and of experts those that a token goes to. A forward pass alone is a third of it. Frozen weights have no gradient of their own: 4·N.
 */
export const flopsPerToken = (config: DecoderConfig, length: number, frozen = false): number => {
  const lookedUp = config.tiedEmbeddings ? 0 : config.vocabulary * config.width
  const keys = config.windows.reduce((total: number, window = length) => {
    const seen = Math.min(window, length)
    return total + seen - (seen * seen) / (2 * length)
  }, 0)
  return (frozen ? 4 : 6) * (activeParameterCount(config) - lookedUp) + 12 * config.heads * config.headWidth * keys
}

/** Model FLOPs of scoring one token of rows of `length` tokens by a head: a forward pass without output matrix. */
export const scoringFlopsPerToken = (config: DecoderConfig, length: number): number =>
  flopsPerToken(config, length) / 3 - 2 * config.vocabulary * config.width
