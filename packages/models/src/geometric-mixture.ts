import { type Tensor2D, tf } from "@plumbline/runtime"
import type { KeyValueCache } from "./decoder/key-value-cache.ts"
import type { SteppedModel } from "./model.ts"

/** The caches of both models, as one whose pages are copied together. */
interface MixedCache extends KeyValueCache {
  readonly parts: readonly [KeyValueCache, KeyValueCache]
}

/**
 * Writes each token from the geometric mixture of two models of one vocabulary,
 *
 *   p(v) ∝ p_a(v)^(1−share) · p_b(v)^share,   logits: (1−share)·l_a + share·l_b
 *
 * Both read the whole text and keep caches of their own, so a token costs as much as one of either. It owns neither
 * model, and sees their weights as they are at the time.
 *
 * @param share of `b`, in [0, 1]
 */
export const geometricMixture = (a: SteppedModel, b: SteppedModel, share: number): SteppedModel => {
  if (!(share >= 0 && share <= 1)) throw new RangeError(`a mixture has a share in [0, 1], not ${share}`)
  if (a.config.vocabulary !== b.config.vocabulary) {
    throw new RangeError(`vocabularies of ${a.config.vocabulary} and ${b.config.vocabulary} tokens cannot be mixed`)
  }
  // places before the rows of one alone would shift its tokens' positions against the other's
  if (a.prefix?.length !== b.prefix?.length) throw new RangeError("models of a mixture have as much before every row")
  return {
    config: {
      ...a.config,
      layers: a.config.layers + b.config.layers,
      maxPositions: Math.min(a.config.maxPositions, b.config.maxPositions)
    },
    contextTokens: Math.min(a.contextTokens, b.contextTokens),
    // either's step makes it another mixture
    version: { current: () => a.version.current() + b.version.current() },
    prefix: a.prefix && {
      length: a.prefix.length,
      fill: (cache, pages) => (cache as MixedCache).parts.forEach((part, i) => [a, b][i]!.prefix!.fill(part, pages))
    },
    createCache: (pages, pageSize) => mixedCache(a.createCache(pages, pageSize), b.createCache(pages, pageSize)),
    step: (rows, cache, index) =>
      tf.tidy(() => {
        const [ofA, ofB] = (cache as MixedCache).parts
        const own = tf.mul<Tensor2D>(1 - share, a.step(rows, ofA, index))
        return tf.add<Tensor2D>(own, tf.mul<Tensor2D>(share, b.step(rows, ofB, index)))
      })
  }
}

/** `layers` holds the very objects of both caches: what is copied there is copied in them. */
const mixedCache = (a: KeyValueCache, b: KeyValueCache): MixedCache => ({
  pages: a.pages,
  pageSize: a.pageSize,
  layers: [...a.layers, ...b.layers],
  recordings: new Map(),
  angles: undefined,
  parts: [a, b],
  dispose: () => {
    a.dispose()
    b.dispose()
  }
})
