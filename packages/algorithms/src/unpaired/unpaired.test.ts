import { it } from "@effect/vitest"
import { batchSampler, type RowLayout } from "@plumbline/data"
import { type CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { accumulate, evaluate } from "@plumbline/training"
import { objectiveLaws } from "@plumbline/training/testing"
import { Effect, Layer, Stream } from "effect"
import { describe, expect } from "vitest"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import { row, smallModel, transitionModel, unevenRows } from "../testing/small-models.ts"
import { apoZeroUnpaired } from "./apo-zero-unpaired.ts"
import { bco } from "./bco.ts"
import { kto } from "./kto.ts"
import { type MismatchedUnit, unpairedBatch, withMismatched } from "./unpaired-batch.ts"
import { UnpairedData, type UnpairedUnit } from "./unpaired-data.ts"
import { unpaired } from "./unpaired.ts"
import { unpairedObjective } from "./unpaired-objective.ts"

const unit = (made: (typeof unevenRows)[number], label: boolean, i = 0): UnpairedUnit => ({
  row: { ...made, label },
  tokens: made.ids.length,
  origin: `row ${i}`
})
const units = unevenRows.map((made, i) => unit(made, i % 3 === 0, i))
const layout = (name: RowLayout) => ({ layout: name, padId: 0 })
const packed = layout("packed")

describe("unpaired objective", () => {
  onWasm("takes z from prompts with the completions of other prompts", () => {
    // row 0: prompt 0, answer 2; row 1: prompt 1, answer 0. Policy P(2|0) = .3, P(0|1) = .6, and crosswise P(0|0) = .2, P(2|1) = .3
    const policy = transitionModel([
      [0.2, 0.5, 0.3],
      [0.6, 0.1, 0.3],
      [0.1, 0.1, 0.8]
    ]) as CausalLM
    // reference P(0|0) = P(2|0) = .1, P(0|1) = .3, P(2|1) = .2
    const reference = transitionModel([
      [0.1, 0.8, 0.1],
      [0.3, 0.5, 0.2],
      [0.2, 0.2, 0.6]
    ]) as CausalLM
    const judged = withMismatched(packed, [unit(row([0, 2], 1), true), unit(row([1, 0], 1), false)])
    const objective = unpairedObjective(kto({ beta: 0.5 }))
    const { metrics } = evaluate(objective, { policy }, [unpairedBatch(packed, judged, reference)])
    const z = (Math.log(2) + Math.log(1.5)) / 2
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
    const losses = [sigmoid(0.5 * (z - Math.log(3))), sigmoid(0.5 * (Math.log(2) - z))]
    expectClose([metrics["kl"]!, metrics["loss"]!], [z, (losses[0]! + losses[1]!) / 2], 1e-6)
    const margin = 0.5 * (Math.log(3) - Math.log(2))
    expectClose([metrics["rewards/chosen"]!, metrics["rewards/margins"]!], [0.5 * Math.log(3), margin], 1e-6)
    expectClose([metrics["logps/chosen"]!, metrics["logps/rejected"]!], [Math.log(0.3), Math.log(0.6)], 1e-6)
  })

  onWasm("leaves out the metrics of a class that the batch has none of", () => {
    const policy = smallModel()
    const batch = unpairedBatch(packed, [unit(unevenRows[0]!, true), unit(unevenRows[1]!, true)], policy)
    const { metrics } = evaluate(unpairedObjective(apoZeroUnpaired({ beta: 0.1 })), { policy }, [batch])
    expect(metrics).toMatchObject({ loss: 0.5, kl: 0, "rewards/chosen": 0 })
    expect(Object.keys(metrics).filter((name) => /rejected|margins/.test(name))).toEqual([])
    policy.dispose()
  })

  onWasm("remembers δ when it trains and not when it evaluates", () => {
    const [policy, reference] = [smallModel(), smallModel(11)]
    const objective = unpairedObjective(bco({ beta: 0.2 }))
    const batches = [unpairedBatch(packed, units, reference)]
    const first = accumulate(objective, { policy }, batches)
    expect(first.memory).toMatchObject({ responses: 6 })
    expect(first.metrics["delta"]).toBeCloseTo(first.memory["delta"]!, 6)
    const { metrics } = evaluate(objective, { policy }, batches, { memory: { delta: 0.75, responses: 100 } })
    expect(metrics["delta"]).toBe(0.75)
    for (const model of [policy, reference]) model.dispose()
  })

  for (const loss of [kto({ beta: 0.3, desirableWeight: 2 }), apoZeroUnpaired({ beta: 0.3 }), bco({ beta: 0.3 })]) {
    objectiveLaws(loss.name, {
      objective: unpairedObjective(loss),
      models: () => ({ policy: smallModel() }),
      scale: 1,
      splits: () => {
        const reference = smallModel(11)
        const judged = withMismatched(packed, units)
        const batch = (some: ReadonlyArray<MismatchedUnit>, name: RowLayout = "packed") =>
          unpairedBatch(layout(name), some, reference)
        const splits = [
          [batch(judged)],
          judged.map((one) => batch([one])),
          [batch(judged.slice(0, 4)), batch(judged.slice(4))],
          [batch(judged, "padded-right")],
          [batch(judged, "padded-left")]
        ]
        reference.dispose()
        return splits
      }
    })
  }
})

const dataset = (given: ReadonlyArray<UnpairedUnit>, batchSize: number, heldOut: ReadonlyArray<UnpairedUnit> = []) =>
  Layer.succeed(UnpairedData, {
    units: given,
    heldOut,
    sampler: batchSampler({ rows: given.length, batchSize, seed: 0, shuffle: false }),
    split: { count: 2 },
    ...packed
  })

describe("unpaired algorithm", () => {
  const refused = [
    [
      "no undesirable response",
      kto,
      dataset(
        units.map((one) => ({ ...one, row: { ...one.row, label: true } })),
        2
      ),
      "no response is undesirable"
    ],
    [
      "no desirable response",
      bco,
      dataset(
        units.map((one) => ({ ...one, row: { ...one.row, label: false } })),
        2
      ),
      "no response is desirable"
    ],
    ["a batch of 1", kto, dataset(units, 1), "a batch of 1 has no other"],
    ["one held-out response", kto, dataset(units, 2, [units[0]!]), "the held-out data have only one"]
  ] as const
  it.effect.each(refused)("refuses %s", ([, loss, data, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(unpaired(loss({ beta: 0.1 })).check!)
      expect(error).toMatchObject({ _tag: "DataUnfit" })
      expect(error.message).toContain(reason)
    }).pipe(Effect.provide(data), Effect.provide(modelLayers))
  )

  it.effect("asks bco for no other response, and rotates completions over the global batch, not its parts", () =>
    Effect.gen(function* () {
      yield* unpaired(bco({ beta: 0.1 })).check!.pipe(Effect.provide(dataset(units, 1)))
      const steps = yield* unpaired(kto({ beta: 0.1 }))
        .experience(0, 1)
        .pipe(Stream.take(1), Stream.runCollect, Effect.provide(dataset(units, 4)))
      const [first, second] = [...steps][0]!
      // units 0 and 1, then 2 and 3: unit 0 gets the completion of unit 3, unit 2 that of unit 1
      const completions = (batch: typeof first) =>
        batch!.mismatched!.responses.map(({ ids, lossMask }) => [...ids.subarray(lossMask.indexOf(1))])
      expect(completions(first)).toEqual([
        [5, 5, 6],
        [3, 4, 5]
      ])
      expect(completions(second)).toEqual([[7], [2, 3, 4]])
    }).pipe(Effect.provide(modelLayers))
  )
})

const modelLayers = Layer.mergeAll(
  Layer.effect(
    Policy,
    Effect.map(ModelRuntime, () => smallModel())
  ),
  Layer.effect(
    ReferencePolicy,
    Effect.map(ModelRuntime, () => smallModel(11))
  )
).pipe(Layer.provide(ModelRuntime.layerWasm))
