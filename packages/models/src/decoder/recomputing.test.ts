import { describe, expect, it } from "@effect/vitest"
import { collate, type ScoredRows } from "@plumbline/data"
import { linear, ModelRuntime, type Tensor, type Tensor2D, tf, type Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import { causalLM } from "../causal-lm.ts"
import { createModel, type DecoderTable } from "../create-model.ts"
import { mistral } from "../families/mistral.ts"
import { mixtral } from "../families/mixtral.ts"
import { nemotron } from "../families/nemotron.ts"
import { qwen2Moe } from "../families/qwen2-moe.ts"
import { qwen3 } from "../families/qwen3.ts"
import type { CausalLM } from "../model.ts"
import { tinyModel, tinyTable } from "../testing/index.ts"
import { parameterWeights, type Weights } from "./weights.ts"

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

const made = (table: Partial<DecoderTable>) => createModel({ ...tinyTable, ...table }, 5)

const models: ReadonlyArray<readonly [string, () => CausalLM]> = [
  ["llama", () => tinyModel(5)],
  ["one layer, tied", () => made({ layers: 1, tiedEmbeddings: true })],
  ["five layers", () => made({ layers: 5 })],
  ["mistral with a window of 3", () => made({ family: mistral, settings: { sliding_window: 3 } })],
  ["qwen3", () => made({ family: qwen3 })],
  ["mixtral", () => made({ family: mixtral, settings: { num_local_experts: 4 } })],
  ["qwen2-moe", () => made({ family: qwen2Moe, settings: { num_experts: 5, moe_intermediate_size: 12 } })],
  ["nemotron", () => made({ family: nemotron })]
]

const lengths = [7, 1, 9, 2]

const batch = (layout: "packed" | "padded-left" | "padded-right"): ScoredRows =>
  collate(
    lengths.map((length, row) => ({
      ids: Int32Array.from({ length }, (_, t) => (row * 11 + t * t) % 32),
      lossMask: Uint8Array.from({ length }, (_, t) => (t > 0 ? 1 : 0))
    })),
    { layout, padId: 31 }
  )

/** Value and gradients of a loss in which every token has a weight of its own, so rows of a pair differ in sign. */
const step = (model: CausalLM, rows: ScoredRows) => {
  const before = tf.memory().numTensors
  const { grads, value } = tf.variableGrads(() => {
    const { logProbs } = model.tokenLogProbs(rows)
    const weights = Float32Array.from({ length: logProbs.size }, (_, i) => (i % 2 === 0 ? -1 : 0.5) / (1 + i))
    return tf.sum(tf.mul(logProbs, weights)) as ReturnType<typeof tf.scalar>
  }, [...model.variables])
  const read = Object.fromEntries(Object.entries({ ...grads, value }).map(([name, x]) => [name, x.dataSync().slice()]))
  tf.dispose([value, ...Object.values(grads)])
  expect(tf.memory().numTensors).toBe(before)
  return read
}

describe.for(models)("recomputing %s", ([, make]) => {
  check("has the loss and the gradients that keeping has, bit for bit, in every layout", () => {
    const model = make()
    for (const layout of ["packed", "padded-left", "padded-right"] as const) {
      const rows = batch(layout)
      const expected = step(model, rows)
      expect(Object.keys(expected)).toHaveLength(model.variables.length + 1)
      expect(step(model.recomputing(), rows), layout).toEqual(expected)
    }
    model.dispose()
  })
})

/** Frozen weights with a trained product of two thin matrices beside each query and down projection. */
const adapted = (base: CausalLM) => {
  const own = parameterWeights(base.parameters)
  const pairs = new Map<string, readonly [Variable, Variable]>()
  for (const [parameter, { shape }] of base.parameters) {
    if (!/(q|down)_proj\.weight$/.test(parameter)) continue
    const matrix = (size: [number, number]) =>
      tf.tidy(() =>
        tf.variable(
          tf.tensor2d(
            Float32Array.from({ length: size[0] * size[1] }, (_, i) => Math.sin(i)),
            size
          )
        )
      )
    pairs.set(parameter.replace(/\.weight$/, ""), [matrix([2, shape[1]!]), matrix([shape[0]!, 2])])
  }
  const weights: Weights = {
    tensor: own.tensor,
    linear: (x, name) => {
      const [down, up] = pairs.get(name) ?? []
      const straight = own.linear(x, name)
      if (down === undefined || up === undefined) return straight
      const asMatrix = (variable: Tensor) => variable as Tensor2D
      return tf.add(straight, linear(linear(x, asMatrix(down)), asMatrix(up)))
    },
    linears: (x, names) => names.map((name) => weights.linear(x, name))
  }
  const variables = [...pairs.values()].flat()
  const { config, parameters } = base
  return causalLM({ name: "adapted", config, parameters, variables, weights, dispose: () => tf.dispose(variables) })
}

check("recomputing adapted weights trains the adapters and leaves the frozen weights", () => {
  const base = tinyModel(5, { trainable: false })
  const model = adapted(base)
  const rows = batch("packed")
  const expected = step(model, rows)
  // two layers, two adapted projections each, two matrices each; and the loss
  expect(Object.keys(expected)).toHaveLength(9)
  expect(Object.values(expected).every((values) => values.some((value) => value !== 0))).toBe(true)
  expect(step(model.recomputing(), rows)).toEqual(expected)
  model.dispose()
  base.dispose()
})

check("a recomputing model scores, caches and shares parameters as the model does", () => {
  const model = tinyModel(5)
  const again = model.recomputing()
  const rows = batch("packed")
  const logits = ({ logits }: CausalLM) => tf.tidy(() => logits(rows, Int32Array.of(0, 8)).dataSync().slice())
  expect(logits(again)).toEqual(logits(model))
  expect(again.parameters).toBe(model.parameters)
  expect(again.variables).toBe(model.variables)
  expect(again.version).toBe(model.version)
  model.dispose()
})
