import { describe, expect, it } from "@effect/vitest"
import { collate, type TokenizedRow, type TokenRows } from "@plumbline/data"
import { ModelRuntime, type Tensor, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { createModel } from "../create-model.ts"
import { mistral } from "../families/mistral.ts"
import { mixtral } from "../families/mixtral.ts"
import { nemotron } from "../families/nemotron.ts"
import { qwen2Moe } from "../families/qwen2-moe.ts"
import { qwen3 } from "../families/qwen3.ts"
import type { Family } from "../families/family.ts"
import type { CausalLM } from "../model.ts"
import { copyPages } from "./key-value-cache.ts"
import { fixedRows, tinyModel, tinyTable, wholeRows } from "../testing/index.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const familyModel = (family: Family, settings: Readonly<Record<string, unknown>> = {}) =>
  createModel({ ...tinyTable, family, settings: { initializer_range: 0.3, ...settings } }, 5)

const qwenMixture = { moe_intermediate_size: 12, shared_expert_intermediate_size: 8, mlp_only_layers: [0] }

/** Models in which a token's position, window or norm could leak from another row. */
const models: ReadonlyArray<readonly [string, () => CausalLM]> = [
  ["llama", () => tinyModel(5)],
  ["mistral with a window of 3", () => familyModel(mistral, { sliding_window: 3 })],
  ["qwen3", () => familyModel(qwen3)],
  ["mixtral", () => familyModel(mixtral, { num_local_experts: 4 })],
  ["qwen2-moe", () => familyModel(qwen2Moe, { ...qwenMixture, num_experts: 3, num_experts_per_tok: 2 })],
  ["nemotron", () => familyModel(nemotron)]
]

const row = [3, 9, 4, 9, 21, 7, 30]
const neighbours = [
  [8, 8, 1, 5, 17, 2, 12, 11, 25],
  [19, 6]
]

const tokenized = (ids: ReadonlyArray<number>): TokenizedRow => ({
  ids: Int32Array.from(ids),
  lossMask: Uint8Array.from(ids, () => 1)
})

const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

const range = (from: number, to: number) => Int32Array.from({ length: to - from }, (_, i) => from + i)

/** Logits of every token of the row that begins at `start`. */
const rowLogits = (model: CausalLM, rows: TokenRows, start: number) =>
  values(model.logits(rows, range(start, start + row.length)))

const values = (tensor: Tensor) => {
  const read = tensor.dataSync()
  tensor.dispose()
  return read
}

describe.for(models)("rows of %s", ([, make]) => {
  const layouts = (["padded-left", "padded-right", "packed"] as const).flatMap((layout) =>
    [0, 1, 2].map((place) => [layout, place] as const)
  )

  check("have the logits they have alone, wherever they lie and whatever lies around them", () => {
    const model = make()
    const alone = rowLogits(model, wholeRows(row), 0)
    for (const [layout, place] of layouts) {
      const batch = neighbours.toSpliced(place, 0, row).map(tokenized)
      for (const padId of [0, 31]) {
        const rows = collate(batch, { layout, padId })
        expect(worst(rowLogits(model, rows, rows.starts[place]!), alone), `${layout} ${place}`).toBeLessThanOrEqual(
          1e-6
        )
      }
    }
    model.dispose()
  })

  check("have the same logits one token at a time, in chunks and at once, beside idle rows", () => {
    const model = make()
    const alone = rowLogits(model, wholeRows(row), 0)
    const vocabulary = model.config.vocabulary
    for (const chunks of [[7], [3, 4], [1, 1, 1, 1, 1, 1, 1], [5, 1, 1]]) {
      const before = tf.memory().numTensors
      const cache = fixedRows(model, 2, 8)
      let fed = 0
      for (const count of chunks) {
        const tokens = Int32Array.from(row.slice(fed, fed + count))
        const positions = tokens.map((_, i) => fed + i)
        const rows = { tokens, positions, starts: Int32Array.of(0, 0), lengths: Int32Array.of(0, count) }
        const step = values(
          cache.step(
            rows,
            Int32Array.from(tokens, (_, i) => i)
          )
        )
        expect(worst(step, alone.slice(fed * vocabulary, (fed + count) * vocabulary))).toBeLessThanOrEqual(1e-5)
        fed += count
        expect([...cache.lengths]).toEqual([0, fed])
      }
      cache.dispose()
      expect(tf.memory().numTensors).toBe(before)
    }
    model.dispose()
  })

  check("have the same logits whichever of their tokens are wanted, and so have tokens after them", () => {
    const model = make()
    const [other] = neighbours as [Array<number>]
    const own = [rowLogits(model, wholeRows(row), 0), values(model.logits(wholeRows(other), range(0, 9)))] as const
    const { vocabulary } = model.config
    const logitsOf = (which: 0 | 1, t: number) => own[which].subarray(t * vocabulary, (t + 1) * vocabulary)
    const prompts = collate([tokenized(other.slice(0, 8)), tokenized(row.slice(0, 6))], {
      layout: "padded-right",
      padId: 31
    })
    // the first row has places 0 to 7, the second 8 to 13, then come two of padding
    const wanted: ReadonlyArray<ReadonlyArray<number>> = [[13], [7], [12, 10, 12], [13, 3], [0], [14], [14, 9]]
    for (const places of wanted) {
      const cache = fixedRows(model, 2, 9)
      const step = values(cache.step(prompts, Int32Array.from(places)))
      places.forEach((place, i) => {
        if (place > 13) return
        const logits = step.slice(i * vocabulary, (i + 1) * vocabulary)
        const expected = place < 8 ? logitsOf(1, place) : logitsOf(0, place - 8)
        expect(worst(logits, expected), `${place} of ${places.join()}`).toBeLessThanOrEqual(1e-5)
      })
      const next = {
        tokens: Int32Array.of(other[8]!, row[6]!),
        positions: Int32Array.of(8, 6),
        starts: Int32Array.of(0, 1),
        lengths: Int32Array.of(1, 1)
      }
      const after = values(cache.step(next, Int32Array.of(1, 0)))
      expect(worst(after, [...logitsOf(0, 6), ...logitsOf(1, 8)]), places.join()).toBeLessThanOrEqual(1e-5)
      cache.dispose()
    }
    model.dispose()
  })
})

describe("cache", () => {
  check("holds rows of different lengths, fed together and padded", () => {
    const model = tinyModel(5)
    const other = neighbours[0]!
    const cache = fixedRows(model, 2, 10)
    const prompts = collate([tokenized(row.slice(0, 5)), tokenized(other.slice(0, 8))], {
      layout: "padded-left",
      padId: 0
    })
    cache.step(prompts, Int32Array.of(0)).dispose()
    const next = {
      tokens: Int32Array.of(row[5]!, other[8]!),
      positions: Int32Array.of(5, 8),
      starts: Int32Array.of(0, 1),
      lengths: Int32Array.of(1, 1)
    }
    const step = values(cache.step(next, Int32Array.of(0, 1)))
    const whole = [
      values(model.logits(wholeRows(row), Int32Array.of(5))),
      values(model.logits(wholeRows(other), Int32Array.of(8)))
    ]
    expect(
      worst(
        step,
        whole.flatMap((logits) => [...logits])
      )
    ).toBeLessThanOrEqual(1e-5)
    cache.dispose()
    model.dispose()
  })

  check("forgets a row whose length is set to 0", () => {
    const model = tinyModel(5)
    const cache = fixedRows(model, 1, 9)
    cache.step(wholeRows(neighbours[0]!), Int32Array.of(0)).dispose()
    cache.lengths[0] = 0
    const again = values(cache.step(wholeRows(row), Int32Array.of(6)))
    expect(worst(again, values(model.logits(wholeRows(row), Int32Array.of(6))))).toBeLessThanOrEqual(1e-5)
    cache.dispose()
    model.dispose()
  })

  check("refuses to answer for a token that was not fed", () => {
    const model = tinyModel(5)
    const cache = fixedRows(model, 1, 9)
    expect(() => cache.step(wholeRows(row), Int32Array.of(7))).toThrow("token 7 of 7 is wanted")
    expect(() => cache.step(wholeRows(row), Int32Array.of(6, -1))).toThrow("token -1 of 7 is wanted")
    cache.dispose()
    model.dispose()
  })

  check("refuses more tokens than it has room for, before it is changed", () => {
    const model = tinyModel(5)
    const cache = fixedRows(model, 1, 4)
    expect(() => cache.step(wholeRows(row), Int32Array.of(0))).toThrow("row 0 has 7 keys, its pages hold 4")
    expect([...cache.lengths]).toEqual([0])
    cache.dispose()
    model.dispose()
  })

  check("lets rows share the pages of a prompt, and copies a page for what comes after it", () => {
    const model = tinyModel(5)
    const cache = model.createCache(4, 4)
    const place = (pages: ReadonlyArray<number>) => ({ table: Int32Array.from(pages), width: pages.length })
    const prompt = { ...wholeRows(row.slice(0, 6)), ...place([3, 1]), held: Int32Array.of(0) }
    model.step(prompt, cache, Int32Array.of(5)).dispose()
    copyPages(cache, [1], [0])
    const both = {
      tokens: Int32Array.of(row[6]!, 11),
      positions: Int32Array.of(6, 6),
      starts: Int32Array.of(0, 1),
      lengths: Int32Array.of(1, 1),
      ...place([3, 1, 3, 0]),
      width: 2,
      held: Int32Array.of(6, 6)
    }
    const step = values(model.step(both, cache, Int32Array.of(0, 1)))
    const whole = [row, [...row.slice(0, 6), 11]].map((ids) => values(model.logits(wholeRows(ids), Int32Array.of(6))))
    expect(
      worst(
        step,
        whole.flatMap((logits) => [...logits])
      )
    ).toBeLessThanOrEqual(1e-5)
    cache.dispose()
    model.dispose()
  })
})

describe("gradients", () => {
  check("do not depend on the layout", () => {
    const model = tinyModel(5)
    const norms = (["packed", "padded-left", "padded-right"] as const).map((layout) => {
      const rows = collate([...neighbours, row].map(tokenized), { layout, padId: 31 })
      const { grads, value } = tf.variableGrads(() => tf.sum(model.tokenLogProbs(rows).logProbs), [...model.variables])
      const squares = Object.values(grads).map((gradient) =>
        Array.from(gradient.dataSync()).reduce((sum, g) => sum + g * g, 0)
      )
      tf.dispose([value, ...Object.values(grads)])
      return squares
    })
    for (const other of norms.slice(1)) {
      other.forEach((square, i) => expect(Math.abs(square / norms[0]![i]! - 1)).toBeLessThanOrEqual(1e-5))
    }
    model.dispose()
  })
})
