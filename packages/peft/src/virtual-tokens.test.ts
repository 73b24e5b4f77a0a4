import { describe, expect, it } from "@effect/vitest"
import { collate, type RowLayout } from "@plumbline/data"
import { type CausalLM, freeze } from "@plumbline/models"
import { tinyModel, wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { adaptNew } from "./adapt.ts"
import { prefixTuning } from "./methods/prefix-tuning.ts"
import { promptTuning } from "./methods/prompt-tuning.ts"

const kinds = [
  ["prompt tuning", promptTuning],
  ["prefix tuning", prefixTuning]
] as const

const TEXT = Int32Array.of(7, 30, 2)
const ROWS = [
  [3, 9, 4, 9, 21, 7, 30],
  [5, 6],
  [8, 1, 1, 12, 2]
]

const logProbs = (model: CausalLM, ids: ReadonlyArray<number>) =>
  tf.tidy(() => [...model.tokenLogProbs(wholeRows(ids)).logProbs.dataSync()])

const closest = (found: ReadonlyArray<number>, expected: ReadonlyArray<number>, within: number) => {
  expect(found).toHaveLength(expected.length)
  found.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(within))
}

const batch = (layout: RowLayout) =>
  collate(
    ROWS.map((row) => ({ ids: Int32Array.from(row), lossMask: Uint8Array.from(row, (_, t) => Number(t > 0)) })),
    { layout, padId: 17 }
  )

describe.for(kinds)("%s", ([, make]) => {
  const onWasm = (name: string, body: () => void) =>
    it.effect(name, () => Effect.sync(body).pipe(Effect.provide(ModelRuntime.layerWasm)))

  onWasm("that begins as a text is the model with that text before every row", () => {
    const base = freeze(tinyModel(5))
    const { model } = adaptNew(base, make({ tokens: 3, init: { ids: TEXT } }), 1)
    for (const row of ROWS) {
      // what the base says of the row's tokens behind the text, from the second on
      closest(logProbs(model, row), logProbs(base, [...TEXT, ...row]).slice(TEXT.length), 1e-5)
    }
    // a text that is too short is said again
    const again = adaptNew(base, make({ tokens: 5, init: { ids: TEXT } }), 1).model
    closest(logProbs(again, ROWS[0]!), logProbs(base, [7, 30, 2, 7, 30, ...ROWS[0]!]).slice(5), 1e-5)
  })

  onWasm("gives every row the same values and gradients in every layout, recomputed or not", () => {
    const { model } = adaptNew(freeze(tinyModel(5)), make({ tokens: 4 }), 2)
    const seen = (of: CausalLM, layout: RowLayout) => {
      const rows = batch(layout)
      const values = tf.tidy(() => [...of.tokenLogProbs(rows).logProbs.dataSync()])
      const loss = () => tf.sum(of.tokenLogProbs(rows).logProbs).asScalar()
      const { grads, value } = tf.variableGrads(loss, [...of.variables])
      value.dispose()
      return { values, gradient: [...grads[of.variables[0]!.name]!.dataSync()] }
    }
    const alone = ROWS.flatMap((row) => logProbs(model, row))
    const packed = seen(model, "packed")
    closest(packed.values, alone, 1e-5)
    for (const layout of ["padded-right", "padded-left"] as const) {
      const other = seen(model, layout)
      closest(other.values, alone, 1e-5)
      closest(other.gradient, packed.gradient, 1e-5)
    }
    closest(seen(model.recomputing(), "packed").gradient, packed.gradient, 1e-5)
    expect(Math.hypot(...packed.gradient)).toBeGreaterThan(1e-2)
  })

  onWasm("has a gradient that finite differences give, too", () => {
    const { model } = adaptNew(freeze(tinyModel(5)), make({ tokens: 2, init: "random" }), 3)
    const [variable] = model.variables
    const loss = () => tf.tidy(() => tf.sum(model.tokenLogProbs(batch("packed")).logProbs).asScalar())
    const { grads } = tf.variableGrads(loss, [variable!])
    const gradient = grads[variable!.name]!.dataSync()
    const start = tf.clone(variable!)
    for (const i of [0, 5, variable!.size - 3]) {
      const at = (step: number) => {
        const moved = Float32Array.from(start.dataSync(), (x, j) => x + (i === j ? step : 0))
        tf.tidy(() => variable!.assign(tf.tensor(moved, variable!.shape)))
        return tf.tidy(() => loss().dataSync()[0]!)
      }
      const slope = (at(0.01) - at(-0.01)) / 0.02
      expect(Math.abs(slope - gradient[i]!)).toBeLessThanOrEqual(5e-3 + 0.02 * Math.abs(slope))
    }
  })

  onWasm("leaves room for its places in the context, and is refused where there is none", () => {
    const base = freeze(tinyModel(5))
    expect(adaptNew(base, make({ tokens: 10 }), 1).model.contextTokens).toBe(base.contextTokens - 10)
    expect(() => adaptNew(base, make({ tokens: base.contextTokens }), 1)).toThrow("leave no room")
    expect(() => make({ tokens: 0 })).toThrow("no whole number from 1 on")
    expect(() => make({ tokens: 2, init: { ids: new Int32Array(0) } })).toThrow("has no tokens")
  })

  onWasm("is copied as it is, and the copy stays behind", () => {
    const { model } = adaptNew(freeze(tinyModel(5)), make({ tokens: 4 }), 2)
    const before = logProbs(model, ROWS[0]!)
    const copy = freeze(model)
    tf.tidy(() => model.variables[0]!.assign(tf.add(model.variables[0]!, 0.5)))
    expect(logProbs(copy, ROWS[0]!)).toEqual(before)
    expect(logProbs(model, ROWS[0]!)).not.toEqual(before)
  })
})
