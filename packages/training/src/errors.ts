import { Schema } from "effect"
import { shellWord } from "./shell-word.ts"

/** A metric of this step, `loss` and `grad_norm` included, is not finite. The step was not applied. */
export class NonFiniteStep extends Schema.TaggedError<NonFiniteStep>()("NonFiniteStep", {
  step: Schema.Int,
  metric: Schema.String,
  value: Schema.Number,
  /** Those whose loss is not finite. */
  rows: Schema.Array(Schema.String),
  /** A parameter that was not finite before the step, as `role/name`, where there is one: no row can be blamed then. */
  weight: Schema.optional(Schema.String)
}) {
  override get message() {
    return (
      `step ${this.step}: ${this.metric} is ${this.value}; the step was not applied and the last checkpoint is whole. ` +
      this.suspects
    )
  }

  private get suspects() {
    if (this.weight !== undefined) {
      return `${this.weight} was not finite before the step: the weights are damaged, or the steps before were too large`
    }
    if (this.rows.length === 0) return "The loss of each row is finite. Try a lower learning rate"
    const shown = this.rows.slice(0, 8).join(", ")
    const more = this.rows.length > 8 ? ` and ${this.rows.length - 8} more` : ""
    return `Rows: ${shown}${more}. Try a lower learning rate, or look at these rows`
  }
}

/** Steps made a weight infinite or NaN, which was found before it was saved. */
export class NonFiniteWeights extends Schema.TaggedError<NonFiniteWeights>()("NonFiniteWeights", {
  step: Schema.Int,
  /** `role/name` */
  weight: Schema.String
}) {
  override get message() {
    return (
      `step ${this.step}: ${this.weight} is not finite any more, so nothing was saved and the last checkpoint is whole. ` +
      "The steps were too large: try a lower learning rate"
    )
  }
}

/** The device had no room for a step. Nothing of the step was kept; with less memory at a time it is the same step. */
export class StepOutOfMemory extends Schema.TaggedError<StepOutOfMemory>()("StepOutOfMemory", {
  step: Schema.Int,
  folder: Schema.String,
  operator: Schema.String,
  /** null where it cannot be told */
  bytesAsked: Schema.NullOr(Schema.Finite),
  bytesFree: Schema.NullOr(Schema.Finite),
  reason: Schema.String,
  /** Rows or pairs of the step's largest micro-batch; null where the step had none yet. */
  rows: Schema.NullOr(Schema.Int),
  activationCheckpointing: Schema.Boolean
}) {
  override get message() {
    return `step ${this.step}: ${this.reason}. Nothing of the step was kept and the last checkpoint is whole. ${this.advice}`
  }

  private get advice() {
    const half = this.rows === null ? "N" : Math.floor(this.rows / 2)
    const ways = [
      ...(half === 0 ? [] : [`--micro-batch-size ${half}`]),
      ...(this.activationCheckpointing ? [] : ["--activation-checkpointing"])
    ]
    if (ways.length > 0)
      return `The same step takes less with plumb resume ${shellWord(this.folder)} ${ways.join(", or with ")}`
    return "It has one row at a time and recomputes blocks already: a new run with a smaller --max-length needs less"
  }
}

/** The run folder holds a run already. */
export class RunExists extends Schema.TaggedError<RunExists>()("RunExists", { folder: Schema.String }) {
  override get message() {
    return `${this.folder} already holds a run: continue it with "plumb resume ${shellWord(this.folder)}", or choose another --output`
  }
}

/** The run folder holds what a run left behind, and nothing that says which run. */
export class RunRemains extends Schema.TaggedError<RunRemains>()("RunRemains", {
  folder: Schema.String,
  remains: Schema.Array(Schema.String)
}) {
  override get message() {
    return `${this.folder} holds ${this.remains.join(", ")} of a run, but not its run.json: remove them, or choose another --output`
  }
}

/** There is no run to resume. */
export class RunNotFound extends Schema.TaggedError<RunNotFound>()("RunNotFound", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `no run to resume at ${this.folder}: ${this.reason}`
  }
}

/** Another live process is writing the run. */
export class RunLocked extends Schema.TaggedError<RunLocked>()("RunLocked", {
  folder: Schema.String,
  pid: Schema.Int
}) {
  override get message() {
    return `${this.folder} is being written by process ${this.pid}; stop that process first (if it is gone, remove ${this.folder}/run.lock)`
  }
}

/** The run folder cannot be written. */
export class OutputUnwritable extends Schema.TaggedError<OutputUnwritable>()("OutputUnwritable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `cannot write ${this.path}: ${this.reason}`
  }
}

/** A checkpoint is not what this run can continue from. */
export class CheckpointUnusable extends Schema.TaggedError<CheckpointUnusable>()("CheckpointUnusable", {
  folder: Schema.String,
  reason: Schema.String,
  /** Step of the newest checkpoint before it, where there is one. */
  before: Schema.optional(Schema.Int)
}) {
  override get message() {
    const way = this.before === undefined ? "" : `. Without that folder the run goes on from step ${this.before}`
    return `checkpoint ${this.folder} cannot be used: ${this.reason}${way}`
  }
}

/** An algorithm's objective does not keep to its contract. */
export class ObjectiveInvalid extends Schema.TaggedError<ObjectiveInvalid>()("ObjectiveInvalid", {
  reason: Schema.String
}) {
  override get message() {
    return `the algorithm's objective cannot be trained: ${this.reason}`
  }
}

/** An algorithm had no experience left for the steps that the run was to make. */
export class ExperienceEnded extends Schema.TaggedError<ExperienceEnded>()("ExperienceEnded", {
  algorithm: Schema.String,
  step: Schema.Int,
  maxSteps: Schema.Int
}) {
  override get message() {
    return `the experience of ${this.algorithm} ended after step ${this.step} of ${this.maxSteps}: \`experience(position, end)\` is to give a global batch for every step up to \`end\``
  }
}

/** A file that the run needs cannot be read. */
export class InputUnreadable extends Schema.TaggedError<InputUnreadable>()("InputUnreadable", {
  path: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `cannot read ${this.path}: ${this.reason}`
  }
}

/** A file that the run was started with is not the same any more, so it cannot go on exactly. */
export class InputChanged extends Schema.TaggedError<InputChanged>()("InputChanged", {
  folder: Schema.String,
  path: Schema.String
}) {
  override get message() {
    return `${this.path} has changed, or moved, since ${this.folder} was started: the run cannot go on as it was. Put the file back, or start a new run`
  }
}

/** The run made no step, because a stop was asked for before its first one. */
export class StopRequested extends Schema.TaggedError<StopRequested>()("StopRequested", { folder: Schema.String }) {
  override get message() {
    return `${this.folder}: no step was made, for a stop was asked for before the first`
  }
}

/** Options that contradict each other. */
export class OptionsInvalid extends Schema.TaggedError<OptionsInvalid>()("OptionsInvalid", {
  option: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.option}: ${this.reason}`
  }
}

/** Processes that share a run have other data than the first one, so they would train other models. */
export class ProcessesDiverged extends Schema.TaggedError<ProcessesDiverged>()("ProcessesDiverged", {
  step: Schema.Int,
  processes: Schema.Array(Schema.Int)
}) {
  override get message() {
    const who = `${this.processes.length === 1 ? "process" : "processes"} ${this.processes.join(", ")}`
    return (
      `step ${this.step}: the data of ${who} are not those of process 0, and nothing was computed with them. Data, rewards ` +
      `and whatever else an algorithm makes a step of must be the same in every process: no clock, no random number of its own`
    )
  }
}

export type TrainingError =
  | NonFiniteStep
  | NonFiniteWeights
  | ProcessesDiverged
  | StepOutOfMemory
  | ExperienceEnded
  | ObjectiveInvalid
  | RunExists
  | RunRemains
  | RunNotFound
  | RunLocked
  | OutputUnwritable
  | CheckpointUnusable
  | OptionsInvalid
