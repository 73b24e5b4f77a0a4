import { unitLengths } from "@plumbline/algorithms"
import type { AnyBuiltin, ReferenceUse } from "@plumbline/algorithms/commands"
import { attempt, batchSampler, loadTokenizer } from "@plumbline/data"
import type { TrainingOptions } from "@plumbline/training"
import { Effect } from "effect"

/** What the data makes of a run. */
export interface Workload {
  /** Lengths in tokens of the sequences of each unit: one of a row, two of a pair. */
  readonly units: ReadonlyArray<ReadonlyArray<number>>
  readonly heldOut: ReadonlyArray<ReadonlyArray<number>>
  readonly stepsPerEpoch: number
  readonly reference: ReferenceUse
}

export type PlanOptions = Pick<TrainingOptions, "batchSize" | "maxLength" | "overlong" | "seed" | "shuffle"> & {
  readonly train: string
  readonly eval?: string | undefined
}

/** Reads and tokenizes a run's data as the run would. @param context the model's, tokens */
export const workloadOf = Effect.fnUntraced(function* (
  builtin: AnyBuiltin,
  folder: string,
  context: number,
  options: PlanOptions
) {
  const tokenizer = yield* loadTokenizer(folder)
  const limit = { maxLength: Math.min(options.maxLength, context), policy: options.overlong }
  const read = (file: string) => unitLengths(builtin.data(options as never), tokenizer, file, limit)
  const units = yield* read(options.train)
  const heldOut = options.eval === undefined ? [] : yield* read(options.eval)
  const { stepsPerEpoch } = yield* attempt(() => batchSampler({ ...options, rows: units.length }))
  const workload: Workload = { units, heldOut, stepsPerEpoch, reference: builtin.referenceUse(options as never) }
  return workload
})
