import {
  attempt,
  batchSampler,
  type DataError,
  type LengthLimit,
  loadPreferences,
  loadSupervised,
  loadTokenizer,
  preferenceDataset,
  supervisedDataset,
  type TokenizedDataset,
  type TokenizedPreference,
  type TokenizedRow,
  type TokenizerShape
} from "@plumbline/data"
import type { TrainingOptions } from "@plumbline/training"
import { Effect, Schema } from "effect"

/** What the data makes of a run. */
export interface Workload {
  /** Lengths in tokens of the sequences of each unit: one of a row, two of a pair. */
  readonly units: ReadonlyArray<ReadonlyArray<number>>
  readonly heldOut: ReadonlyArray<ReadonlyArray<number>>
  readonly stepsPerEpoch: number
  readonly reference: ReferenceUse
}

/** When a frozen copy of the model computes log-probs of the data. */
export type ReferenceUse = "never" | "once" | "every step"

/** `plan` cannot tell what a step of this algorithm costs. */
export class NotPlannable extends Schema.TaggedError<NotPlannable>()("NotPlannable", { algorithm: Schema.String }) {
  override get message() {
    return `plumb plan knows no estimate for ${this.algorithm}; it has one for ${Object.keys(kinds).join(" and ")}`
  }
}

export type PlanOptions = Pick<TrainingOptions, "batchSize" | "maxLength" | "overlong" | "seed" | "shuffle"> & {
  readonly train: string
  readonly eval?: string | undefined
  readonly precomputeReference?: boolean
}

type Read = (
  tokenizer: TokenizerShape,
  file: string,
  limit: LengthLimit
) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, DataError>

const reader =
  <Record, Row>(
    load: (file: string) => Effect.Effect<ReadonlyArray<Record>, DataError>,
    tokenize: (
      tokenizer: TokenizerShape,
      records: ReadonlyArray<Record>,
      limit: LengthLimit
    ) => Effect.Effect<TokenizedDataset<Row>, DataError>,
    sequences: (row: Row) => ReadonlyArray<TokenizedRow>
  ): Read =>
  (tokenizer, file, limit) =>
    load(file).pipe(
      Effect.flatMap((records) => tokenize(tokenizer, records, limit)),
      Effect.map(({ rows }) => rows.map((row) => sequences(row).map(({ ids }) => ids.length)))
    )

interface Kind {
  readonly read: Read
  readonly reference: (options: PlanOptions) => ReferenceUse
}

/** How each algorithm reads its data, and what it computes beside the policy. */
const kinds: Readonly<Record<string, Kind>> = {
  sft: { read: reader(loadSupervised, supervisedDataset, (row: TokenizedRow) => [row]), reference: () => "never" },
  dpo: {
    read: reader(loadPreferences, preferenceDataset, ({ chosen, rejected }: TokenizedPreference) => [chosen, rejected]),
    reference: ({ precomputeReference }) => (precomputeReference === true ? "once" : "every step")
  }
}

/** Reads and tokenizes a run's data as the run would. @param context the model's, tokens */
export const workloadOf = Effect.fnUntraced(function* (
  algorithm: string,
  folder: string,
  context: number,
  options: PlanOptions
) {
  const kind = kinds[algorithm]
  if (kind === undefined) return yield* new NotPlannable({ algorithm })
  const tokenizer = yield* loadTokenizer(folder)
  const limit = { maxLength: Math.min(options.maxLength, context), policy: options.overlong }
  const units = yield* kind.read(tokenizer, options.train, limit)
  const heldOut = options.eval === undefined ? [] : yield* kind.read(tokenizer, options.eval, limit)
  const { stepsPerEpoch } = yield* attempt(() => batchSampler({ ...options, rows: units.length }))
  const workload: Workload = { units, heldOut, stepsPerEpoch, reference: kind.reference(options) }
  return workload
})
