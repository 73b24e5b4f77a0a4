import { issueText } from "@plumbline/data"
import { Result, Schema } from "effect"
import { OptionsInvalid } from "./errors.ts"
import { NonNegative, NonNegativeInt, option, optional, Positive, PositiveInt, Share } from "./option.ts"
import { ScheduleName } from "./schedule.ts"

/** What becomes of rows above the maximum length. */
export const Overlong = Schema.Literals(["truncate", "drop", "error"])

/** How the data becomes steps; the same for every algorithm that reads a file. */
export const batchFields = {
  batchSize: option(PositiveInt, 8, "rows, pairs or prompts of an optimizer step"),
  microBatchSize: optional(
    PositiveInt,
    "rows or pairs computed at once; changes memory, never the step (default: the batch)"
  ),
  microBatchTokens: optional(PositiveInt, "instead of a number: most tokens computed at once"),
  packing: option(
    Schema.Boolean,
    true,
    "lay rows end to end; false pads them to the longest. Changes speed, never the step"
  ),
  shuffle: option(Schema.Boolean, true, "another order of the data in every epoch; false keeps the file's"),
  seed: option(NonNegativeInt, 0, "seed of every random stream of the run"),
  maxLength: option(PositiveInt, 1024, "most tokens of a row; never above the model's context"),
  overlong: option(
    Overlong,
    "truncate",
    "rows above --max-length: cut at the end, leave out, or refuse; a row whose prompt leaves no room is left out"
  )
} as const

/** How long to train and how weights move. */
export const optimizationFields = {
  maxSteps: optional(PositiveInt, "optimizer steps (default: --epochs over the data)"),
  epochs: option(Positive, 1, "passes over the data when --max-steps is not given"),
  learningRate: option(Positive, 1e-5, "peak learning rate of AdamW"),
  lrSchedule: option(ScheduleName, "linear", "shape of the learning rate after warm-up"),
  warmupSteps: option(NonNegativeInt, 0, "steps over which the learning rate rises from 0"),
  minLrRatio: option(Share, 0, "share of the learning rate where linear and cosine end"),
  weightDecay: option(NonNegative, 0, "decoupled decay of matrices"),
  adamBeta1: option(Share, 0.9, "decay of the first moment"),
  adamBeta2: option(Share, 0.999, "decay of the second moment"),
  adamEpsilon: option(Positive, 1e-8, "added to the root of the second moment"),
  maxGradNorm: option(NonNegative, 1, "clip the gradient to this global norm; 0 = off"),
  routerAuxLossCoef: optional(
    NonNegative,
    "mixtures of experts: weight of the loss that keeps experts equally busy; 0 = off (default: config.json's where it has output_router_logits, else 0.001; none for reward models)"
  ),
  activationCheckpointing: option(
    Schema.Boolean,
    false,
    "keep only each block's input for the backward pass and compute the block again: less memory, a third more time"
  )
} as const

/**
 * What changes the memory of a step and never the step itself, rounding aside: a run may go on with other values than it
 * was started with.
 */
export const memoryFields = {
  microBatchSize: batchFields.microBatchSize,
  microBatchTokens: batchFields.microBatchTokens,
  activationCheckpointing: optional(Schema.Boolean, "compute blocks again in the backward pass instead of keeping them")
} as const

/** What a run writes, and when it stops. */
export const runFields = {
  evalEvery: option(NonNegativeInt, 100, "steps between evaluations on --eval; 0 = never"),
  saveEvery: optional(NonNegativeInt, "steps between checkpoints; 0 = never (default: as --eval-every, or 100)"),
  keepCheckpoints: option(PositiveInt, 2, "newest checkpoints kept; the best by --monitor is kept besides"),
  monitor: option(Schema.String, "eval_loss", "metric that chooses the best checkpoint"),
  monitorMode: option(Schema.Literals(["min", "max"]), "min", "whether the best is the lowest or the highest"),
  maxSeconds: optional(Positive, "stop after this many seconds: evaluate, save, end; resume goes on")
} as const

export const TrainingOptions = Schema.Struct({ ...batchFields, ...optimizationFields, ...runFields })
export type TrainingOptions = typeof TrainingOptions.Type

const decode = Schema.decodeUnknownResult(TrainingOptions, { errors: "all", onExcessProperty: "error" })

/** Options with the defaults of what is absent. Throws OptionsInvalid for a name that none has, or a value that none may have. */
export const trainingOptions = (given: typeof TrainingOptions.Encoded): TrainingOptions =>
  Result.getOrThrowWith(
    decode(given),
    ({ issue }) => new OptionsInvalid({ option: "trainingOptions", reason: issueText(issue) })
  )

/** Options of the loop itself. */
export type LoopOptions = Omit<TrainingOptions, keyof typeof batchFields>
