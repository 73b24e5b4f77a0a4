import { type CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import { Processes } from "@plumbline/runtime"
import { type Algorithm, type Dataset, globalBatches, shareWork, splitUnits } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { DataUnfit } from "../data-unfit.ts"
import { unpairedBatch, type UnpairedBatch, withMismatched } from "./unpaired-batch.ts"
import { rewardsAtFirst } from "../preference/at-first.ts"
import { UnpairedData, type UnpairedUnit } from "./unpaired-data.ts"
import type { UnpairedLoss } from "./unpaired-loss.ts"
import { unpairedObjective } from "./unpaired-objective.ts"

/**
 * Alignment on responses judged one by one: any `UnpairedLoss` on the log-ratios of policy and reference.
 *
 * Fails with `DataUnfit` where all responses are of one class, or where the loss sets responses against one another
 * and a batch has only one.
 */
export const unpaired = (
  loss: UnpairedLoss
): Algorithm<{ readonly policy: CausalLM }, UnpairedBatch, DataUnfit, Policy | ReferencePolicy | UnpairedData> => ({
  name: loss.name,
  config: loss.options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  atFirst: rewardsAtFirst(loss.beta),
  stepsPerEpoch: Effect.map(UnpairedData, ({ sampler }) => sampler.stepsPerEpoch),
  check: Effect.flatMap(UnpairedData, (data) => {
    const reason = unfit(loss, data)
    return reason === undefined ? Effect.void : Effect.fail(new DataUnfit({ algorithm: loss.name, reason }))
  }),
  experience: (position) =>
    Stream.unwrap(
      Effect.gen(function* () {
        const data = yield* UnpairedData
        const microBatches = yield* batchMaker(loss)
        return globalBatches(data.units, data.sampler, position).pipe(Stream.map(microBatches))
      })
    ),
  heldOut: Effect.gen(function* () {
    const { heldOut } = yield* UnpairedData
    return (yield* batchMaker(loss))(heldOut)
  }),
  objective: unpairedObjective(loss)
})

/** Mismatched rows are made over the global batch, before it is split. */
const batchMaker = Effect.fnUntraced(function* ({ baseline }: UnpairedLoss) {
  const data = yield* UnpairedData
  const reference = yield* ReferencePolicy
  const processes = yield* Processes
  return (units: ReadonlyArray<UnpairedUnit>): ReadonlyArray<UnpairedBatch> => {
    const all = baseline.over === "mismatched" ? withMismatched(data, units) : units
    return shareWork(processes, splitUnits(all, data.split), (part) => unpairedBatch(data, part, reference))
  }
})

const unfit = ({ baseline }: UnpairedLoss, data: Dataset<UnpairedUnit>): string | undefined => {
  const { heldOut, sampler, units } = data
  const desirable = units.filter(({ row }) => row.label).length
  if (desirable === 0 || desirable === units.length) {
    const absent = desirable === 0 ? "desirable" : "undesirable"
    return `learns the difference between desirable and undesirable responses, and no response is ${absent}`
  }
  if (baseline.over !== "mismatched") return undefined
  const alone = "sets each prompt against the response to another one"
  if (sampler.indices(0).length < 2) return `${alone}, and a batch of 1 has no other: take a --batch-size of 2 or more`
  return heldOut.length === 1 ? `${alone}, and the held-out data have only one` : undefined
}
