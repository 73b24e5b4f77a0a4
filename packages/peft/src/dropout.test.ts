import { expect, it } from "@effect/vitest"
import { collate, type RowLayout, type ScoredRows } from "@plumbline/data"
import { createModel, freeze, mixtral, tapped } from "@plumbline/models"
import { tinyModel, tinyTable, wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, type Tensor2D, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { adaptNew } from "./adapt.ts"
import { rowDropout } from "./dropout.ts"
import { lora } from "./methods/lora.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const texts = [
  [3, 9, 4, 9, 21, 7, 30],
  [8, 8, 1, 5, 17, 2, 12, 11, 25],
  [19, 6]
]

const mask = (share: number, step: number, rows: ScoredRows, layer: string, width: number) =>
  tf.tidy(
    () =>
      rowDropout(share, step, rows)
        .apply(tf.ones([rows.tokens.length, width]) as Tensor2D, layer)
        .dataSync() as Float32Array
  )

check("leaves out the share it is told, and scales up the rest", () => {
  const rows = wholeRows(Array.from({ length: 400 }, (_, i) => i % 31))
  const values = mask(0.25, 3, rows, "a", 300)
  expect(new Set(values)).toEqual(new Set([0, Math.fround(4 / 3)]))
  const left = values.reduce((count, value) => count + (value === 0 ? 1 : 0), 0) / values.length
  // pairwise independent: a deviation of √(p·(1−p)/120000) = 0.00125; five of them
  expect(Math.abs(left - 0.25)).toBeLessThan(0.00625)
})

check("depends on step and layer, and not on where the row lies", () => {
  const width = 64
  const ids = texts[1]!
  const alone = mask(0.5, 3, wholeRows(ids), "a", width)
  const rows = wholeRows(...texts)
  const start = rows.starts[1]!
  expect(mask(0.5, 3, rows, "a", width).slice(start * width, (start + ids.length) * width)).toEqual(alone)
  expect(mask(0.5, 4, wholeRows(ids), "a", width)).not.toEqual(alone)
  expect(mask(0.5, 3, wholeRows(ids), "b", width)).not.toEqual(alone)
})

const batch = (layout: RowLayout, ids = texts) =>
  collate(
    ids.map((row) => ({ ids: Int32Array.from(row), lossMask: Uint8Array.from(row, () => 1) })),
    { layout, padId: 0 }
  )

const adapted = (dropout: number) => {
  const { model } = adaptNew(freeze(tinyModel(5)), lora({ rank: 4, dropout, alpha: 40 }), 1)
  for (const variable of model.variables) tf.tidy(() => variable.assign(tf.add(variable, 0.05)))
  return model
}

const lossOf = (model: ReturnType<typeof adapted>, batches: ReadonlyArray<ScoredRows>) =>
  batches.reduce((total, rows) => {
    const { grads, value } = tf.variableGrads(
      () => tf.sum(model.tokenLogProbs(rows).logProbs).asScalar(),
      [...model.variables]
    )
    tf.dispose(grads)
    return total + value.dataSync()[0]!
  }, 0)

check("changes the loss that is differentiated, the same in every layout and split, and no other", () => {
  const model = adapted(0.5)
  const packed = lossOf(model, [batch("packed")])
  expect(Math.abs(packed - lossOf(adapted(0), [batch("packed")]))).toBeGreaterThan(1e-2)
  for (const batches of [
    [batch("padded-left")],
    [batch("padded-right")],
    texts.map((text) => batch("packed", [text]))
  ]) {
    expect(Math.abs(lossOf(model, batches) - packed)).toBeLessThan(1e-4)
  }
  model.version.advance()
  expect(Math.abs(lossOf(model, [batch("packed")]) - packed)).toBeGreaterThan(1e-3)
  const scored = (one: typeof model) => tf.tidy(() => one.tokenLogProbs(batch("packed")).logProbs.dataSync())
  expect(scored(model)).toEqual(scored(adapted(0)))
})

check("is the same for a token of an expert, wherever it lies and whoever looks on", () => {
  const settings = { initializer_range: 0.3, num_local_experts: 4 }
  const base = freeze(createModel({ ...tinyTable, family: mixtral, settings }, 5))
  const { model } = adaptNew(base, lora({ rank: 4, dropout: 0.5, alpha: 40, targets: ["w1", "w2", "w3"] }), 1)
  for (const variable of model.variables) tf.tidy(() => variable.assign(tf.add(variable, 0.05)))
  const packed = lossOf(model, [batch("packed")])
  const scored = tf.tidy(() => tf.sum(model.tokenLogProbs(batch("packed")).logProbs).dataSync()[0]!)
  expect(Math.abs(packed - scored)).toBeGreaterThan(1e-2)
  const seen = tapped(model, ({ probabilities }) => probabilities)
  expect(lossOf(seen, [batch("packed")])).toBe(packed)
  for (const batches of [[batch("padded-left")], texts.map((text) => batch("packed", [text]))]) {
    expect(Math.abs(lossOf(model, batches) - packed)).toBeLessThan(1e-4)
  }
})
