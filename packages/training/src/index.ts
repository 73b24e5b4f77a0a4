export { recipe, type Recipe, type RecipeServices } from "./recipe.ts"
export { type Invocation, RunContext, type RunContextShape, stage } from "./run-context.ts"
export { accumulate, type BegunStep, beginStep, evaluate, type StepNumbers, type StepResult } from "./accumulate.ts"
export { type AppliedStep, applyStep } from "./apply-step.ts"
export { agreeWithSampler } from "./agree-with-sampler.ts"
export type { Algorithm, Attachment, Evaluation, Expected, HeldOut, StepSeen, Trainable } from "./algorithm.ts"
export { atFirst, offText, type Precision, shortNumber } from "./at-first.ts"
export { joined } from "./joined.ts"
export { shareWork } from "./processes/own-share.ts"
export { fromFirst, shared } from "./processes/shared.ts"
export { type DataUnit, globalBatches, type MicroBatching, splitUnits, unitBatches } from "./batches.ts"
export { checkpointFolder, checkpointSteps } from "./checkpoints.ts"
export type { Dataset } from "./dataset.ts"
export {
  CheckpointUnusable,
  ExperienceEnded,
  InputChanged,
  InputUnreadable,
  NonFiniteStep,
  NonFiniteWeights,
  ObjectiveInvalid,
  OptionsInvalid,
  OutputUnwritable,
  RunExists,
  RunLocked,
  RunNotFound,
  RunRemains,
  StepOutOfMemory,
  StopRequested,
  type TrainingError
} from "./errors.ts"
export {
  type CoupledObjective,
  coupledObjective,
  type Coupling,
  type LossSums,
  type Memory,
  type MicroBatch,
  type Objective,
  type Observed,
  type Unit,
  type UnitSum
} from "./objective.ts"
export { Examination, type Examiner, type Finding, type FirstStep } from "./examination/examination.ts"
export { adamw, type AdamwOptions, clipScale, type Optimizer } from "./optimizer.ts"
export { needed, NonNegative, NonNegativeInt, option, optional, Positive, PositiveInt, Share } from "./option.ts"
export {
  batchFields,
  memoryFields,
  optimizationFields,
  Overlong,
  runFields,
  TrainingOptions,
  trainingOptions
} from "./options.ts"
export { keptCheckpoints } from "./kept-checkpoints.ts"
export { decideProgress } from "./progress-decision.ts"
export {
  createRunFolder,
  isRunFolder,
  openRunFolder,
  readRunDescription,
  RunDescription,
  type RunFolder
} from "./run-folder.ts"
export { freeLock, takeLock } from "./file-lock.ts"
export { isBeingWritten } from "./run-lock.ts"
export { runTraining, type TrainingRun } from "./run.ts"
export { RunJournal } from "./run-journal.ts"
export { learningRateAt, ScheduleName } from "./schedule.ts"
export { shellWord } from "./shell-word.ts"
export { StopRequest } from "./stop-request.ts"
export { train, type TrainOptions, type TrainResult } from "./train.ts"
export { consoleSink } from "./sinks/console-sink.ts"
export { jsonlSink } from "./sinks/jsonl-sink.ts"
export {
  CollectedMetrics,
  MetricSink,
  type MetricSinkShape,
  SinkFailed,
  type StepMetrics
} from "./sinks/metric-sink.ts"
export { Progress, type ProgressShape } from "./sinks/progress.ts"
export { sqliteSink } from "./sinks/sqlite-sink.ts"
export { tensorboardSink } from "./sinks/tensorboard-sink.ts"
export { makeFolder, writeFileAtomically } from "./write-files.ts"
