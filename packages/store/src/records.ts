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

/** A response of a rollout: how it was written, judged and learnt from. What is not known yet, or never will be, is absent. */
export interface RolloutRecord {
  /** Counts the rollouts of a run from 0. */
  readonly rollout: number
  /** In the rollout, by prompt and sample. */
  readonly row: number
  /** The newest step that learnt from it. */
  readonly step?: number | undefined
  readonly promptNumber?: number | undefined
  readonly sample?: number | undefined
  /** Row of the data that its prompt comes from. */
  readonly origin?: string | undefined
  readonly seed?: number | undefined
  readonly prompt?: string | undefined
  readonly response?: string | undefined
  readonly ended?: boolean | undefined
  readonly reward?: number | undefined
  readonly rewardParts?:
    | ReadonlyArray<{
        readonly name: string
        readonly weight: number
        readonly raw?: number | undefined
        readonly value?: number | undefined
      }>
    | undefined
  readonly greedyReward?: number | undefined
  /** Mean over its tokens. */
  readonly advantage?: number | undefined
  /** Why the policy learnt nothing from it. */
  readonly masked?: string | undefined
  readonly promptIds?: Int32Array | undefined
  readonly responseIds?: Int32Array | undefined
  /** One a token of the response from here on: version of the weights that made it. */
  readonly policyVersions?: Int32Array | undefined
  /** Nats, under the distribution it was drawn from. */
  readonly samplingLogProbs?: Float32Array | undefined
  /** Nats, of the policy before the first step on the rollout. */
  readonly oldLogProbs?: Float32Array | undefined
  readonly referenceLogProbs?: Float32Array | undefined
  /** Nats, of the policy at the newest step on it. */
  readonly currentLogProbs?: Float32Array | undefined
  readonly criticValues?: Float32Array | undefined
  readonly criticReturns?: Float32Array | undefined
  readonly advantages?: Float32Array | undefined
  /** Current to old policy, at the newest step on it. */
  readonly ratios?: Float32Array | undefined
  /** 1 where a bound took its gradient then. */
  readonly clipped?: Float32Array | undefined
  /** 1 where the loss counts it. */
  readonly counted?: Int32Array | undefined
}

export interface RolloutQuery {
  readonly rollout?: number | undefined
  /** Rollouts that this step learnt from, last. */
  readonly step?: number | undefined
  readonly row?: number | undefined
}
