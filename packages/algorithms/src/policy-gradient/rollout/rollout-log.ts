import { Processes } from "@plumbline/runtime"
import {
  type NotStorable,
  type RolloutRecord,
  RunStore,
  type RunUnknown,
  type StoreUnavailable
} from "@plumbline/store"
import { type Observed, RunContext } from "@plumbline/training"
import { Effect, Option } from "effect"
import { resolve } from "node:path"
import type { RolloutBatch } from "../rollout-batch.ts"
import type { MaskReason } from "./mask-reason.ts"
import type { PreparedRow } from "./prepare.ts"
import { type Rollout, type RolloutGroup, rowNumber } from "./rollout.ts"

export type LogError = StoreUnavailable | RunUnknown | NotStorable

/** Where the responses of a run are recorded, and found again by a run that was killed before it had learnt from them. */
export interface RolloutLog {
  /** A whole group as it was written and judged. */
  readonly group: (rollout: number, group: RolloutGroup) => Effect.Effect<void, LogError>
  /** Finds the groups of a rollout that were recorded: by weights of these versions, from this seed. */
  readonly known: (rollout: number) => Effect.Effect<FindGroup, LogError>
  /** What was computed of a rollout before the first step on it; older ones than `keep` are forgotten. */
  readonly prepared: (rollout: Rollout, rows: ReadonlyArray<PreparedRow>, keep: number) => Effect.Effect<void, LogError>
  /** What a step saw. */
  readonly step: (
    step: number,
    rollout: number,
    batches: ReadonlyArray<RolloutBatch>,
    observed: ReadonlyArray<Observed>
  ) => Effect.Effect<void, LogError>
}

export type FindGroup = (place: number, wanted: WantedGroup) => RolloutGroup | undefined

export interface WantedGroup {
  readonly origin: string
  readonly promptIds: Int32Array
  readonly seed: number
  readonly samples: number
  /** Of the weights, the oldest and the newest that may have made its tokens. */
  readonly versions: readonly [oldest: number, newest: number]
  readonly withValues: boolean
  readonly withGreedy: boolean
}

const silent: RolloutLog = {
  group: () => Effect.void,
  known: () => Effect.succeed(() => undefined),
  prepared: () => Effect.void,
  step: () => Effect.void
}

/** The log of the run at hand; outside of a run with a store, and in processes that write nothing, one that keeps nothing. */
export const rolloutLog = Effect.gen(function* () {
  if ((yield* Processes).rank > 0) return silent
  const store = yield* Effect.serviceOption(RunStore)
  const context = yield* Effect.serviceOption(RunContext)
  if (Option.isNone(store) || Option.isNone(context)) return silent
  return storeLog(store.value, resolve(context.value.output))
})

const storeLog = (store: RunStore["Service"], run: string): RolloutLog => ({
  group: (rollout, group) => store.saveRollouts(run, groupRecords(rollout, group), true),
  known: (rollout) =>
    Effect.map(store.rollouts(run, { rollout }), (all) => {
      const byPlace = Map.groupBy(all, ({ promptNumber }) => promptNumber)
      return (place, wanted) => groupOf(byPlace.get(place) ?? [], wanted)
    }),
  prepared: ({ aside, index }, rows, keep) => {
    const records = [
      ...rows.map((row) => preparedRecord(index, row)),
      ...aside.flatMap((group) => asideRecords(index, group))
    ]
    return Effect.andThen(store.saveRollouts(run, records), store.pruneRollouts(run, index - keep + 1))
  },
  step: (step, rollout, batches, observed) =>
    store.saveRollouts(
      run,
      batches.flatMap((batch, b) => stepRecords(step, rollout, batch, observed[b]!))
    )
})

const groupRecords = (rollout: number, group: RolloutGroup): ReadonlyArray<RolloutRecord> =>
  group.responses.map((response, sample) => ({
    rollout,
    row: rowNumber(group, sample),
    promptNumber: group.place,
    sample,
    origin: group.origin,
    seed: group.seed,
    prompt: group.promptText,
    promptIds: group.promptIds,
    greedyReward: group.greedyReward,
    response: response.text,
    responseIds: response.responseIds,
    policyVersions: response.policyVersions,
    samplingLogProbs: response.samplingLogProbs,
    ended: response.ended,
    reward: response.reward,
    rewardParts: response.parts,
    criticValues: response.values
  }))

const groupOf = (records: ReadonlyArray<RolloutRecord>, wanted: WantedGroup): RolloutGroup | undefined => {
  const first = records[0]
  const [oldest, newest] = wanted.versions
  const fits = (record: RolloutRecord) =>
    record.seed === wanted.seed &&
    record.origin === wanted.origin &&
    (record.promptIds ?? []).length === wanted.promptIds.length &&
    wanted.promptIds.every((id, t) => record.promptIds![t] === id) &&
    record.policyVersions?.every((version) => version >= oldest && version <= newest) === true &&
    wanted.withValues === (record.criticValues !== undefined) &&
    wanted.withGreedy === (record.greedyReward !== undefined)
  if (first === undefined || records.length !== wanted.samples || !records.every(fits)) return undefined
  return {
    place: first.promptNumber!,
    origin: wanted.origin,
    promptIds: wanted.promptIds,
    promptText: first.prompt!,
    seed: wanted.seed,
    greedyReward: first.greedyReward,
    responses: records.map((record) => ({
      responseIds: record.responseIds!,
      samplingLogProbs: record.samplingLogProbs!,
      policyVersions: record.policyVersions!,
      ended: record.ended!,
      text: record.response!,
      reward: record.reward,
      parts: record.rewardParts!.map(({ name, raw, value, weight }) => ({ name, weight, raw, value })),
      values: record.criticValues
    }))
  }
}

const preparedRecord = (rollout: number, row: PreparedRow): RolloutRecord => ({
  rollout,
  row: row.number,
  advantage: row.advantages.length === 0 ? undefined : mean(row.advantages),
  advantages: row.advantages,
  masked: row.maskedBecause,
  counted: Int32Array.from(row.row.lossMask.slice(row.row.ids.length - row.advantages.length)),
  oldLogProbs: row.oldLogProbs,
  referenceLogProbs: row.referenceLogProbs,
  criticReturns: row.returns.length === 0 ? undefined : row.returns
})

const asideRecords = (rollout: number, group: RolloutGroup): ReadonlyArray<RolloutRecord> => {
  const masked: MaskReason = "no advantage"
  return group.responses.map((_, sample) => ({ rollout, row: rowNumber(group, sample), masked }))
}

const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The rows of a micro-batch, whose counted tokens are the whole response of each. */
const stepRecords = (
  step: number,
  rollout: number,
  batch: RolloutBatch,
  seen: Observed
): ReadonlyArray<RolloutRecord> => {
  const current = seen["logProbs"]!
  const old = batch.oldLogProbs ?? current
  const ratios = current.map((value, m) => Math.exp(value - old[m]!))
  let start = 0
  return Array.from(batch.numbers, (row, r) => {
    let end = start
    while (batch.rows.scored.rows[end] === r) end += 1
    const own = (values: Float32Array) => values.slice(start, end)
    const record = {
      rollout,
      row,
      step,
      currentLogProbs: own(current),
      oldLogProbs: own(old),
      ratios: own(ratios),
      clipped: own(seen["clipped"]!)
    }
    start = end
    return record
  })
}
