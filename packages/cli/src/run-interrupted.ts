import { checkpointSteps, shellWord } from "@plumbline/training"
import { Schema } from "effect"
import { runIn } from "./find-run.ts"

/** Failures whose cause lies outside the run and may pass: the same run can go on afterwards. */
const PASSING: ReadonlySet<string> = new Set([
  "CriticFailed",
  "DeviceLost",
  "GenerationTimedOut",
  "GeneratorFailed",
  "OutputUnwritable",
  "ProcessLost",
  "RewardFailed",
  "RewardTimedOut",
  "RewardUnavailable",
  "SinkFailed",
  "StoreUnavailable"
])

/** A run that had begun was ended by something that may pass. */
export class RunInterrupted extends Schema.TaggedError<RunInterrupted>()("RunInterrupted", {
  folder: Schema.String,
  /** Of its newest checkpoint; 0 where it has none. */
  step: Schema.Int,
  /** What ended it. */
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }

  /** How to go on. */
  get advice() {
    const from = this.step === 0 ? "from its beginning, for it has no checkpoint yet" : `from step ${this.step}`
    return `once that is put right, the run goes on ${from}: plumb resume ${shellWord(this.folder)}`
  }
}

/** The failure, told with the way to go on where the run in `output` can. */
export const interrupted =
  (output: string) =>
  <E>(error: E): E | RunInterrupted => {
    const run = runIn(output)
    if (run === undefined || !(error instanceof Error && "_tag" in error && PASSING.has(String(error._tag))))
      return error
    return new RunInterrupted({ folder: output, step: checkpointSteps(run).at(-1) ?? 0, reason: error.message })
  }
