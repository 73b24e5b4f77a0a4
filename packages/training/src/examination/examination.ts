import { Context, type Effect } from "effect"
import type { Expected } from "../algorithm.ts"
import type { Precision } from "../at-first.ts"
import type { MicroBatching } from "../batches.ts"
import type { StepMetrics } from "../sinks/metric-sink.ts"

/** What came of one check of a run that has not begun. */
export interface Finding {
  /** Of a kind of checks: "sampler", "end-of-turn" … */
  readonly check: string
  /** Whether the run should not begin as it is. */
  readonly verdict: "fine" | "warning" | "refused"
  readonly text: string
}

/** The first step of a run, made in memory, and how long steps take. */
export interface FirstStep {
  readonly algorithm: string
  readonly metrics: StepMetrics
  /** Units of data of each micro-batch. */
  readonly units: ReadonlyArray<number>
  /** What its metrics should have been. */
  readonly expected: Readonly<Record<string, Expected>>
  /** Of a step, in the median of those that were made: until its data were there, and from then on. */
  readonly seconds: { readonly experience: number; readonly step: number }
  /** Steps that are made on what is there at one time. */
  readonly stepsPerExperience: number
  /** Steps that the run would make, and checkpoints that would be left of it. */
  readonly steps: number
  readonly checkpoints: number
  /** Numbers that the optimizer moves. */
  readonly trainedParameters: number
}

/** Who looks at a run instead of letting it happen. */
export interface Examiner {
  readonly precision: Precision
  /** How global batches of files are split instead of as the run's options say. */
  readonly split?: MicroBatching | undefined
  /** Whether more steps than one are made, as long as they take no time to speak of, to see how long one takes. */
  readonly timed?: boolean
  readonly tell: (finding: Finding) => Effect.Effect<void>
  /** The first stage has made its first step: nothing comes after it. */
  readonly seen: (step: FirstStep) => Effect.Effect<never>
}

/** Set where a run is examined: `runTraining` then makes one step, writes no run and tells the examiner. */
export const Examination = Context.Reference<Examiner | undefined>("@plumbline/training/Examination", {
  defaultValue: () => undefined
})
