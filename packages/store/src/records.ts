export type RunStatus = "running" | "finished" | "stopped" | "failed"

/** A run as its trainer announces it. */
export interface RunRegistration {
  /** The absolute run folder: what tells runs apart. */
  readonly id: string
  readonly name: string
  readonly algorithm: string
  readonly folder: string
  /** Plain data, kept as JSON. */
  readonly config: unknown
  /** ISO 8601. */
  readonly startedAt: string
}

export interface RunFailure {
  readonly tag: string
  readonly message: string
}

export interface RunRecord extends RunRegistration {
  readonly status: RunStatus
  /** ISO 8601; null while the run goes on, or was killed. */
  readonly endedAt: string | null
  readonly error: RunFailure | null
  /** The highest step with metrics; null before the first. */
  readonly lastStep: number | null
  /** `loss` at `lastStep`; null where that step has none. */
  readonly lastLoss: number | null
}

export interface MetricRow {
  readonly step: number
  readonly metrics: Readonly<Record<string, number>>
}

/** A generated text worth reading later. */
export interface Sample {
  readonly prompt: string
  readonly response: string
  /** What the sample shows: `before`, `after`, `chosen`, `rollout` … */
  readonly label: string
  readonly extra?: Readonly<Record<string, number | string>>
}

export interface SampleRow extends Sample {
  readonly step: number
}

export interface CheckpointRecord {
  readonly step: number
  readonly folder: string
  /** What best-by-metric retention compares. */
  readonly metric?: { readonly name: string; readonly value: number }
}
