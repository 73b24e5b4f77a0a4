import type { BatchSampler, RowLayout } from "@plumbline/data"
import type { DataUnit, MicroBatching } from "./batches.ts"

/** Tokenized data of a run, and how it becomes batches. */
export interface Dataset<U extends DataUnit> {
  readonly units: ReadonlyArray<U>
  /** Held-out data; empty when the run has none. */
  readonly heldOut: ReadonlyArray<U>
  readonly sampler: BatchSampler
  readonly split: MicroBatching
  readonly layout: RowLayout
  readonly padId: number
  /** Most tokens of a row, for rows made from the data later; no limit when absent. */
  readonly maxLength?: number
}
