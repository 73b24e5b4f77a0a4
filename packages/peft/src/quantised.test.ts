import { expect, it } from "@effect/vitest"
import { type CausalLM, loadCausalLM, saveModel } from "@plumbline/models"
import { tinyModel, wholeRows } from "@plumbline/models/testing"
import { ModelRuntime, packNf4, tf, unpackNf4 } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { adaptNew } from "./adapt.ts"
import { merged } from "./merge.ts"
import { lora } from "./methods/lora.ts"

const rows = wholeRows([3, 9, 4, 9, 21, 7, 30], [8, 8, 1, 5, 17])
const logProbs = (model: CausalLM) => tf.tidy(() => model.tokenLogProbs(rows).logProbs.dataSync())
const worst = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), a.length === b.length ? 0 : NaN)

/** The model with the matrices of its blocks as 4 bits have them. */
const rounded = (): CausalLM => {
  const model = tinyModel(5)
  for (const [name, tensor] of model.parameters) {
    if (tensor.rank !== 2 || !name.startsWith("model.layers.")) continue
    const values = unpackNf4(packNf4(tensor.dataSync() as Float32Array)).slice(0, tensor.size)
    tf.tidy(() => (tensor as (typeof model.variables)[number]).assign(tf.tensor(values, tensor.shape)))
  }
  return model
}

it.effect("a model in 4 bits computes with what its codes stand for, under adapters, and is left as it was", () =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "nf4-"))
    yield* saveModel(tinyModel(5), folder)
    const base = yield* loadCausalLM(folder, { name: "base", trainable: false, quantised: true })
    rmSync(folder, { recursive: true })
    const expected = rounded()
    expect(worst(logProbs(base), logProbs(expected))).toBeLessThan(1e-5)
    expect(worst(logProbs(base), logProbs(tinyModel(5)))).toBeGreaterThan(1e-2)
    const adapted = [base, expected].map((below) => adaptNew(below, lora({ rank: 2, decomposed: true }), 1))
    const before = [...base.parameters.values()].map((tensor) => tensor.dataSync().slice())
    for (const { model } of adapted) {
      const loss = () => tf.neg(tf.sum(model.tokenLogProbs(rows).logProbs)).asScalar()
      const { grads, value } = tf.variableGrads(loss, [...model.variables])
      value.dispose()
      for (const variable of model.variables) {
        tf.tidy(() => variable.assign(tf.sub(variable, tf.mul(0.02, grads[variable.name]!))))
      }
      tf.dispose(grads)
    }
    const after = adapted.map(({ model }) => logProbs(model))
    expect(worst(after[0]!, after[1]!)).toBeLessThan(1e-5)
    expect(worst(after[0]!, logProbs(base))).toBeGreaterThan(1e-3)
    expect([...base.parameters.values()].map((tensor) => tensor.dataSync())).toEqual(before)
    expect(() => merged(adapted[0]!)).toThrow("in 4 bits")
  }).pipe(Effect.provide(ModelRuntime.layerWasm))
)
