import { describe, expect, it } from "@effect/vitest"
import { collate, type RowLayout, type ScoredRows } from "@plumbline/data"
import { type CausalLM, createModel, createScalarModel, loadCausalLM, mistral, mixtral } from "@plumbline/models"
import { ModelRuntime, tf, type Variable } from "@plumbline/runtime"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { accumulate } from "./accumulate.ts"
import { balanceOf, balanceWeight } from "./balance.ts"
import type { MicroBatch, Objective } from "./objective.ts"

const fixture = (name: string) => fileURLToPath(new URL(`../../../test/fixtures/families/${name}`, import.meta.url))

interface Expected {
  readonly input_ids: ReadonlyArray<number>
  readonly aux_loss: number
  readonly aux_grad_norms: Readonly<Record<string, number>>
}

interface Batch extends MicroBatch {
  readonly rows: ScoredRows
}

/** `factor` times the log-prob of all tokens, a row. */
const lossOf = (factor: number): Objective<{ readonly policy: CausalLM }, Batch> => ({
  counts: ({ origins }) => ({ row: origins.length }),
  loss: ({ policy }, { origins, rows }) => {
    const total = tf.sum(policy.tokenLogProbs(rows).logProbs)
    return {
      terms: [{ unit: "row", values: tf.mul(total, tf.mul(tf.ones([origins.length]), factor / origins.length)) }],
      metrics: {}
    }
  }
})

const batchOf = (rows: ReadonlyArray<ReadonlyArray<number>>, layout: RowLayout = "packed"): Batch => ({
  rows: collate(
    rows.map((ids) => ({ ids: Int32Array.from(ids), lossMask: Uint8Array.from(ids, (_, t) => (t > 0 ? 1 : 0)) })),
    { layout, padId: 0 }
  ),
  tokens: rows.flat().length,
  origins: rows.map((_, i) => `row ${i}`)
})

const normsOf = (model: CausalLM, gradients: Readonly<Record<string, tf.Tensor>>) => {
  const norms: Record<string, number> = {}
  for (const [name, variable] of model.parameters) {
    const gradient = gradients[(variable as Variable).name]
    if (gradient !== undefined) norms[name] = tf.tidy(() => tf.norm(gradient).dataSync()[0]!)
  }
  return norms
}

describe.for(["mixtral", "qwen2-moe", "qwen3-moe"])("the load-balancing loss of %s", (name) => {
  it.effect("and its gradient are those of transformers", () =>
    Effect.gen(function* () {
      const folder = fixture(name)
      const expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as Expected
      const policy = yield* loadCausalLM(folder, { trainable: true, name: "policy" })
      for (const model of [policy, policy.recomputing()]) {
        const models = { policy: model }
        const balance = balanceOf(models, () => 1)!
        const { gradients, metrics } = accumulate(lossOf(0), models, [batchOf([expected.input_ids])], { balance })
        expect(metrics["aux_loss"]).toBeCloseTo(expected.aux_loss, 5)
        expect(metrics["loss"]).toBe(metrics["aux_loss"])
        const norms = normsOf(policy, gradients)
        for (const [theirs, norm] of Object.entries(expected.aux_grad_norms)) {
          // experts of a layer are one tensor there
          if (theirs.includes("experts.")) continue
          const ours = name === "mixtral" ? theirs.replace(".mlp.", ".block_sparse_moe.") : theirs
          expect(Math.abs(norms[ours]! - norm), theirs).toBeLessThanOrEqual(1e-4 * norm + 1e-7)
        }
        tf.dispose(gradients)
      }
      policy.dispose()
    }).pipe(Effect.provide(ModelRuntime.layerWasm))
  )
})

const table = { family: mixtral, vocabulary: 32, width: 16, layers: 2, heads: 4, keyValueHeads: 2, mlpWidth: 12 }
const made = (settings: Readonly<Record<string, unknown>> = {}) =>
  createModel(
    { ...table, maxPositions: 32, settings: { initializer_range: 0.4, num_local_experts: 4, ...settings } },
    3
  )

const rows = [
  [3, 9, 4, 9, 21, 7, 30],
  [8, 8, 1, 5],
  [19, 6, 2, 2, 2, 11, 25, 17, 3],
  [1, 30]
]

const onWasm = (name: string, body: () => void) =>
  it.effect(name, () => Effect.provide(Effect.sync(body), ModelRuntime.layerWasm))

onWasm("a step with it does not depend on the split or the layout, and leaves no tensor", () => {
  const policy = made()
  const balance = balanceOf({ policy }, () => 0.5)!
  const step = (batches: ReadonlyArray<Batch>) => {
    const before = tf.memory().numTensors
    const { gradients, metrics } = accumulate(lossOf(-0.01), { policy }, batches, { balance })
    const norms = normsOf(policy, gradients)
    tf.dispose(gradients)
    expect(tf.memory().numTensors).toBe(before)
    return { ...norms, ...metrics }
  }
  const whole = step([batchOf(rows)])
  const alone = rows.map((row) => batchOf([row]))
  for (const split of [alone, [batchOf(rows.slice(0, 3), "padded-left"), alone[3]!], [batchOf(rows, "padded-right")]]) {
    const other = step(split)
    expect(Object.keys(other)).toEqual(Object.keys(whole))
    for (const [name, value] of Object.entries(whole)) {
      expect(Math.abs(other[name as keyof typeof other]! - value), name).toBeLessThanOrEqual(
        1e-5 * Math.abs(value) + 1e-7
      )
    }
  }
  policy.dispose()
})

onWasm(
  "is none where a model is no mixture or its weight is 0; the weight is the user's, config.json's or 0.001",
  () => {
    const [policy, asked] = [made(), made({ output_router_logits: true, router_aux_loss_coef: 0.02 })]
    expect(balanceOf({ policy }, () => 0)).toBeUndefined()
    const dense = createModel({ ...table, family: mistral, maxPositions: 32 }, 1)
    expect(balanceOf({ dense }, () => 1)).toBeUndefined()
    expect(balanceWeight({})(policy)).toBe(0.001)
    expect(balanceWeight({})(asked)).toBe(0.02)
    expect(balanceWeight({ routerAuxLossCoef: 0 })(asked)).toBe(0)
    const settings = { num_local_experts: 4, output_router_logits: true }
    const reward = createScalarModel(
      { ...table, maxPositions: 32, settings },
      { attributes: ["reward"], pooling: "last" },
      1
    )
    expect(balanceWeight({})(reward)).toBe(0)
    expect(balanceOf({ reward }, balanceWeight({ routerAuxLossCoef: 0.1 }))).toBeDefined()
    for (const model of [policy, asked, dense, reward]) model.dispose()
  }
)
