export { NotStorable, RunUnknown, type StoreError, StoreTooNew, StoreUnavailable } from "./errors.ts"
export { nearestNames } from "./nearest-names.ts"
export type {
  CheckpointRecord,
  MetricRow,
  RolloutQuery,
  RolloutRecord,
  RunFailure,
  RunRecord,
  RunRegistration,
  RunStatus,
  Sample,
  SampleRow
} from "./records.ts"
export { RunStore, type RunStoreShape } from "./run-store.ts"
