import type { CausalLM } from "@plumbline/models"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { it } from "@effect/vitest"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { accumulate } from "./accumulate.ts"
import { objectiveStep } from "./objective-check.ts"
import type { LossSums } from "./objective.ts"
import { toyModel } from "./testing/toy-algorithm.ts"

const batch = { tokens: 2, origins: ["a:1", "a:2"] }
const perRow = () => tf.tensor1d([1, 2])

/** Why a step whose loss gives this is refused. */
const refusalOf = (loss: () => unknown, trained: (policy: CausalLM) => CausalLM = (policy) => policy) =>
  Effect.suspend(() => {
    const objective = { counts: () => ({ row: 2 }), loss: () => loss() as LossSums }
    return objectiveStep(() => accumulate(objective, { policy: trained(toyModel()) }, [batch]))
  }).pipe(
    Effect.flip,
    Effect.map((error) => error.reason),
    Effect.provide(ModelRuntime.layerWasm)
  )

describe("an objective against its contract", () => {
  for (const [what, loss, reason] of [
    ["a Promise", () => Promise.resolve({ terms: [], metrics: {} }), "gives a Promise"],
    ["nothing", () => undefined, "gives no terms"],
    ["no terms", () => ({ terms: [], metrics: {} }), "gives no terms"],
    ["no metrics", () => ({ terms: [{ unit: "row", values: perRow() }] }), "gives no metrics"],
    ["a number", () => ({ terms: [{ unit: "row", values: 3 }], metrics: {} }), "a term are no tensor"],
    ["a mean", () => ({ terms: [{ unit: "row", values: tf.mean(perRow()) }], metrics: {} }), "the shape [], not [U]"],
    [
      "a matrix for a metric",
      () => ({
        terms: [{ unit: "row", values: perRow() }],
        metrics: { mine: { unit: "row", values: tf.ones([2, 3]) } }
      }),
      'metric "mine" have the shape [2, 3]'
    ],
    ["a unit of its own", () => ({ terms: [{ unit: "word", values: perRow() }], metrics: {} }), 'the unit "word"'],
    ["a constant", () => ({ terms: [{ unit: "row", values: perRow() }], metrics: {} }), "does not depend on any weight"]
  ] as const) {
    it.live(`is refused where its loss gives ${what}`, () =>
      Effect.gen(function* () {
        expect(yield* refusalOf(loss)).toContain(reason)
      })
    )
  }

  it.live("is refused where nothing may move", () =>
    Effect.gen(function* () {
      const loss = () => ({ terms: [{ unit: "row", values: perRow() }], metrics: {} })
      expect(yield* refusalOf(loss, (policy) => ({ ...policy, variables: [] }))).toContain("no weight that may move")
    })
  )
})
