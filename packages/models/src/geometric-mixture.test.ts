import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime, type Tensor, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { copyPages } from "./decoder/key-value-cache.ts"
import { geometricMixture } from "./geometric-mixture.ts"
import { tinyModel, wholeRows } from "./testing/index.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const text = [3, 9, 4, 9, 21, 7, 30]

const values = (tensor: Tensor): ReadonlyArray<number> => {
  const read = [...tensor.dataSync()]
  tensor.dispose()
  return read
}

const worst = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : Number.NaN)

describe("geometric mixture", () => {
  check("weighs the logits of both, each over a cache of its own, through steps and copied pages", () => {
    const [a, b] = [tinyModel(5), tinyModel(8)]
    const mixed = geometricMixture(a, b, 0.3)
    const cache = mixed.createCache(3, 4)
    const prompt = { ...wholeRows(text.slice(0, 6)), table: Int32Array.of(2, 1), width: 2, held: Int32Array.of(0) }
    mixed.step(prompt, cache, Int32Array.of(5)).dispose()
    // the prompt's second page goes on in page 0
    copyPages(cache, [1], [0])
    const next = {
      tokens: Int32Array.of(text[6]!),
      positions: Int32Array.of(6),
      starts: Int32Array.of(0),
      lengths: Int32Array.of(1),
      table: Int32Array.of(2, 0),
      width: 2,
      held: Int32Array.of(6)
    }
    const step = values(mixed.step(next, cache, Int32Array.of(0)))
    const [ofA, ofB] = [a, b].map((model) => values(model.logits(wholeRows(text), Int32Array.of(6))))
    const expected = ofA!.map((logit, v) => 0.7 * logit + 0.3 * ofB![v]!)
    expect(worst(step, expected)).toBeLessThanOrEqual(1e-5)
    expect(worst(ofA!, ofB!)).toBeGreaterThan(0.01)
    cache.dispose()
    a.dispose()
    b.dispose()
  })

  check("is another one when either's weights move", () => {
    const [a, b] = [tinyModel(5), tinyModel(8)]
    const { version } = geometricMixture(a, b, 0.5)
    const before = version.current()
    b.version.advance()
    const between = version.current()
    a.version.advance()
    expect(new Set([before, between, version.current()]).size).toBe(3)
    a.dispose()
    b.dispose()
  })

  check("leaves no tensor behind, and refuses shares beyond 0 and 1", () => {
    const model = tinyModel(5)
    const before = tf.memory().numTensors
    geometricMixture(model, model, 0.5).createCache(2, 4).dispose()
    expect(tf.memory().numTensors).toBe(before)
    expect(() => geometricMixture(model, model, 1.5)).toThrow("a mixture has a share in [0, 1], not 1.5")
    const other = { ...model, config: { ...model.config, vocabulary: 7 } }
    expect(() => geometricMixture(model, other, 0.5)).toThrow("vocabularies of 32 and 7 tokens cannot be mixed")
    model.dispose()
  })
})
