export {
  type RewardError,
  RewardFailed,
  RewardInputMissing,
  RewardNotFinite,
  RewardTimedOut,
  RewardUnavailable
} from "./errors.ts"
export type { JudgedGroup, JudgedPrompt, JudgedResponse, Judgement, RewardGroup, RewardPart } from "./reward-request.ts"
export { judgement, type PartName, type RewardMemory, type RewardShape } from "./reward-shape.ts"
export { Reward } from "./reward.ts"
export { afterHashes, type AnswerText, boxed, lastNumber, tagged, wholeText } from "./rules/answer-text.ts"
export { exactAnswer, type ExactAnswerOptions } from "./rules/exact-answer.ts"
export { length, type LengthOptions, lengthWithin, type LengthWithinOptions } from "./rules/length.ts"
export { numericAnswer, type NumericAnswerOptions } from "./rules/numeric-answer.ts"
export { pattern, type PatternOptions } from "./rules/pattern.ts"
export { type RewardRule, ruleReward } from "./rules/rule.ts"
export { taggedFormat, type TaggedFormatOptions } from "./rules/tagged-format.ts"
export {
  AttributesUnknown,
  type AttributeWeights,
  equalWeights,
  HELPSTEER2_340B,
  HELPSTEER2_70B,
  unfitWeights,
  weightedScores,
  weightsInOrder
} from "./attribute-weights.ts"
export {
  bradleyTerry,
  type BradleyTerryOptions,
  marginBradleyTerry,
  scaledBradleyTerry
} from "./pairwise/bradley-terry.ts"
export type { PairScores, PairwiseLoss } from "./pairwise/pairwise-loss.ts"
export { pairwiseObjective, type ScoredPairs } from "./pairwise/pairwise-objective.ts"
export { RewardModel, type RewardModelOptions } from "./reward-model.ts"
export { modelReward, type ModelRewardOptions } from "./model/model-reward.ts"
export { scoreRows, type ScoreRowsOptions, unreadable } from "./model/score-rows.ts"
export { type Calibration, calibration, type CalibrationBin } from "./evaluation/calibration.ts"
export { type PairReport, pairReport, type PairScore, type ScoredPair } from "./evaluation/pair-report.ts"
export { type JudgedSteps, processObjective } from "./process/process-objective.ts"
export { type GradedRows, HELPSTEER, regressionObjective, STEERLM } from "./regression/regression-objective.ts"
export { combine, type CombineOptions, type Range, type RewardTerm } from "./compose/combine.ts"
export {
  ensemble,
  type EnsembleOptions,
  type EnsembleReduction,
  meanOf,
  uncertaintyWeighted,
  worstOf
} from "./compose/ensemble.ts"
export {
  batchStandardised,
  groupStandardised,
  type Normalisation,
  type Normaliser,
  runningStandardised,
  type StandardisedOptions,
  standardisedBy
} from "./compose/normaliser.ts"
export { jsonFormat, type JsonFormatOptions } from "./rules/json-format.ts"
export { overlong, type OverlongOptions } from "./rules/overlong.ts"
export { repetition, type RepetitionOptions } from "./rules/repetition.ts"
export { unfinished, type UnfinishedOptions } from "./rules/unfinished.ts"
export type { RemoteRewardOptions } from "./remote/remote-options.ts"
export { remoteReward } from "./remote/remote-reward.ts"
export { type Connection, connectReward } from "./remote/connect-reward.ts"
export type { JudgeOptions } from "./judge/ask-judge.ts"
export { type Order, pairwiseJudge, type PairwiseJudgeOptions } from "./judge/pairwise-judge.ts"
export { askForRating, pointwiseJudge, type PointwiseJudgeOptions } from "./judge/pointwise-judge.ts"
export { bracketedRating, bracketedVerdict, type RatingReader, type VerdictReader } from "./judge/verdict.ts"
export { type Batcher, batcher, type BatcherOptions } from "./model/batcher.ts"
export { type Scorer, scorer, type ScorerOptions } from "./model/scorer.ts"
export {
  everyStep,
  lastStep,
  stepReward,
  type StepReduction,
  type StepRewardOptions,
  weakestStep
} from "./process/step-reward.ts"
