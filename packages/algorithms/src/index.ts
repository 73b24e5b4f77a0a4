export { alphaDivergence, type Divergence, forwardKl, jensenShannon, reverseKl } from "./preference/divergence.ts"
export { aot, type AotOptions, aotUnpaired } from "./preference/aot.ts"
export { apoDown, type ApoOptions, apoZero } from "./preference/apo.ts"
export { bcoPair, type BcoPairOptions } from "./preference/bco-pair.ts"
export { discopop, type DiscopopOptions } from "./preference/discopop.ts"
export { dpo, type DpoOptions } from "./preference/dpo.ts"
export { exo, type ExoOptions } from "./preference/exo.ts"
export { hinge, type HingeOptions } from "./preference/hinge.ts"
export { ipo, type IpoOptions, ipoSum } from "./preference/ipo.ts"
export { lengthDesensitized, type LengthDesensitizedOptions } from "./preference/ld-dpo.ts"
export { LossInvalid } from "./loss-invalid.ts"
export { chosenCrossEntropy, mix, type WeightedLoss } from "./preference/mix.ts"
export { movingReference, type MovingReferenceOptions } from "./preference/moving-reference.ts"
export { nca, type NcaOptions } from "./preference/nca.ts"
export { type PairBatch, type PairRows, pairRows, type ResponseRows } from "./preference/pair-batch.ts"
export { responseLogProbs } from "./preference/pair-log-probs.ts"
export { type PairUnit, PreferenceData } from "./preference/preference-data.ts"
export { preference } from "./preference/preference.ts"
export { preferenceObjective } from "./preference/preference-objective.ts"
export type { PairLogProbs, PreferenceLoss } from "./preference/preference-loss.ts"
export { ReferenceLogProbs } from "./preference/reference-log-probs.ts"
export { robust, type RobustOptions } from "./preference/robust.ts"
export { rpoBackwardKl, rpoForwardKl, type RpoOptions, rpoSquared } from "./preference/rpo.ts"
export { sigmoidNorm, type SigmoidNormOptions } from "./preference/sigmoid-norm.ts"
export { sppoHard, type SppoOptions } from "./preference/sppo.ts"
export { onPolicyWeighted } from "./preference/wpo.ts"
export {
  type Advantage,
  type Advantages,
  byGroup,
  everyToken,
  type RewardedResponses,
  totalRewards
} from "./policy-gradient/advantages/advantage.ts"
export { batchBaseline, greedyBaseline, lengthWeightedBaseline } from "./policy-gradient/advantages/baselines.ts"
export { bestOfGroup } from "./policy-gradient/advantages/best-of-group.ts"
export { type ByRewardOptions, normalizedByReward } from "./policy-gradient/advantages/by-reward.ts"
export { generalizedAdvantage, type GeneralizedAdvantageOptions } from "./policy-gradient/advantages/generalized.ts"
export {
  groupCentred,
  groupNormalized,
  type GroupNormalizedOptions
} from "./policy-gradient/advantages/group-normalized.ts"
export { leaveOneOut, type LeaveOneOutOptions } from "./policy-gradient/advantages/leave-one-out.ts"
export { whitenedGroups, whitenedReturns } from "./policy-gradient/advantages/reinforce-plus-plus.ts"
export {
  type Aggregation,
  constantLength,
  sequenceMean,
  sequenceSum,
  tokenMean
} from "./policy-gradient/aggregation.ts"
export { adaptiveKl, fixedKl, type KlInLoss, type KlInReward, type KlPenalty } from "./policy-gradient/kl-penalty.ts"
export { grpo, type GrpoOptions } from "./policy-gradient/grpo.ts"
export { type OnlineOptions, policyGradient, type PolicyGradientOptions } from "./policy-gradient/policy-gradient.ts"
export {
  Critic,
  CriticFailed,
  type CriticLesson,
  type CriticRow,
  type CriticShape
} from "./policy-gradient/critic/critic.ts"
export { criticFolder, type CriticFolderOptions, criticModel } from "./policy-gradient/critic/critic-folder.ts"
export { modelCritic, type CriticOptions } from "./policy-gradient/critic/model-critic.ts"
export { remoteCritic, remoteCriticLayer, type RemoteCriticOptions } from "./policy-gradient/critic/remote-critic.ts"
export { CRITIC_PATH, decodeWire, encodeWire, lessonFrom, rowsOf } from "./policy-gradient/critic/wire.ts"
export { valueObjective } from "./policy-gradient/critic/value-objective.ts"
export { ppo, type PpoOptions } from "./policy-gradient/ppo.ts"
export { reinforce } from "./policy-gradient/reinforce.ts"
export { reinforcePlusPlus, type ReinforcePlusPlusOptions } from "./policy-gradient/reinforce-plus-plus.ts"
export { remax } from "./policy-gradient/remax.ts"
export { rloo } from "./policy-gradient/rloo.ts"
export { policyGradientObjective, type PolicyGradientLoss } from "./policy-gradient/policy-gradient-objective.ts"
export type { RolloutBatch } from "./policy-gradient/rollout-batch.ts"
export {
  maskByGeometricMean,
  maskSequences,
  maskTokens,
  type SamplerCorrection,
  truncateByGeometricMean,
  truncateSequences,
  truncateTokens
} from "./policy-gradient/sampler-correction.ts"
export {
  clip,
  type ClipOptions,
  geometricClip,
  geometricTokenClip,
  sequenceClip
} from "./policy-gradient/surrogates/clip.ts"
export { gmpo } from "./policy-gradient/surrogates/gmpo.ts"
export { cispo, logLikelihood, vespo } from "./policy-gradient/surrogates/likelihood.ts"
export { sapo } from "./policy-gradient/surrogates/sapo.ts"
export type { Surrogate, SurrogateTokens, TokenLosses } from "./policy-gradient/surrogates/surrogate.ts"
export {
  negativeLogLikelihood,
  type SupervisedBatch,
  supervisedObjective
} from "./supervised/negative-log-likelihood.ts"
export { sft } from "./supervised/sft.ts"
export { dft, nll, type TokenLoss } from "./supervised/token-loss.ts"
export { SupervisedData, type SupervisedUnit } from "./supervised/supervised-data.ts"
export { alphaPo, type AlphaPoOptions } from "./reference-free/alpha-po.ts"
export { cpo, cpoHinge, cpoIpo, type CpoOptions, type CpoSigmoidOptions } from "./reference-free/cpo.ts"
export { imitateChosen, imitateChosenWithPrompt, imitateGold } from "./reference-free/imitation.ts"
export { orpo, type OrpoOptions } from "./reference-free/orpo.ts"
export { referenceFree, referenceFreeTriples } from "./reference-free/reference-free.ts"
export type { Imitation, PolicyLogProbs, ReferenceFreeLoss } from "./reference-free/reference-free-loss.ts"
export { referenceFreeObjective } from "./reference-free/reference-free-objective.ts"
export { simpo, type SimpoOptions } from "./reference-free/simpo.ts"
export { tpo, tpoNormalized, type TpoNormalizedOptions, type TpoOptions } from "./reference-free/tpo.ts"
export { TripleData } from "./reference-free/triple-data.ts"
export { apoZeroUnpaired } from "./unpaired/apo-zero-unpaired.ts"
export { bco, type BcoOptions } from "./unpaired/bco.ts"
export type { ClassWeights } from "./unpaired/class-weights.ts"
export { kto, type KtoOptions } from "./unpaired/kto.ts"
export { UnpairedData, type UnpairedUnit } from "./unpaired/unpaired-data.ts"
export type { Baseline, JudgedLogProbs, UnpairedLoss } from "./unpaired/unpaired-loss.ts"
export { unpairedObjective } from "./unpaired/unpaired-objective.ts"
export { unpaired } from "./unpaired/unpaired.ts"
export { type AiPreference, aiPreferences, type AiPreferenceOptions } from "./constitutional/ai-preferences.ts"
export { loadPreferencePrinciples, loadPrinciples, type Principle } from "./constitutional/constitution.ts"
export { critiqueAndRevise, type NumberedPrompt, type Revised } from "./constitutional/critique-revision.ts"
export { distillation, onPolicyDistillation, type OnPolicyOptions } from "./distillation/distillation.ts"
export { DistillationData, type TaughtUnit } from "./distillation/distillation-data.ts"
export {
  type DistillationBatch,
  distillationObjective,
  type DistillationOptions
} from "./distillation/distillation-objective.ts"
export {
  type DistillationLoss,
  forwardDivergence,
  generalizedJensenShannon,
  type JensenShannonOptions,
  reverseDivergence,
  symmetricDivergence
} from "./distillation/divergence-loss.ts"
export type { TailRule, TopLogits } from "./distillation/outcomes.ts"
export { storedLine, type TaughtRow } from "./distillation/stored-logits.ts"
export { TeacherLogits } from "./distillation/teacher-logits.ts"
export { topLogits } from "./distillation/top-logits.ts"
export { bestAndWorst, type ChosenPair, type ChoosePair, lengthControlled } from "./iterative/choose-pair.ts"
export { heldOutRewards, type HeldOutRewardsOptions } from "./responses/held-out-rewards.ts"
export { type JudgedPromptUnit, judgedResponses, type JudgedSample, rewardGroup } from "./responses/judged-responses.ts"
export { onlinePreference, type OnlinePreferenceOptions } from "./iterative/online-preference.ts"
export { PromptData, promptFiles, type PromptRow, type PromptUnit } from "./responses/prompt-data.ts"
export { rejectionSampling, type RejectionSamplingOptions } from "./iterative/rejection-sampling.ts"
export { type Reported, reporting, withReport } from "./iterative/reported.ts"
export { type ResponseOptions, responseRow, writeResponses, type WrittenResponse } from "./responses/responses.ts"
export { opponentEngine } from "./iterative/opponent-engine.ts"
export type { JudgeWords } from "./iterative/meta-rewarding/judgements.ts"
export { askForBetterJudgement, type MetaJudgeWords } from "./iterative/meta-rewarding/meta-judge.ts"
export { metaRewarding, type MetaRewardingOptions } from "./iterative/meta-rewarding/meta-rewarding.ts"
export { selfJudge, type SelfJudgeOptions } from "./iterative/self-judge.ts"
export { selfRewarding, type SelfRewardingOptions } from "./iterative/self-rewarding.ts"
export { OpponentGenerator } from "./iterative/opponent-generator.ts"
export { better, bradleyTerry, type DuelPreference, shareWon } from "./iterative/duel-preference.ts"
export { a2po, type A2poOptions, softValue } from "./iterative/a2po.ts"
export { nashMd, type NashMdOptions } from "./iterative/nash-md.ts"
export { xpo, type XpoOptions } from "./iterative/xpo.ts"
export { spin, type SpinOptions } from "./iterative/spin.ts"
export {
  attributeLabel,
  type Attributes,
  conditionedOn,
  describeAttributes,
  labelIds,
  labelled,
  SteeringInvalid
} from "./steerlm/attribute-label.ts"
export { attributedFiles } from "./steerlm/attributed-data.ts"
export { gradeLogProb, type GradeModel } from "./steerlm/grade-log-prob.ts"
export { rowLogProbs } from "./steerlm/row-log-probs.ts"
export { steerLm } from "./steerlm/steerlm.ts"
export { steerLm2, steerLm2Objective } from "./steerlm/steerlm2.ts"
export { type WeightedGroup, WeightedResponses, type WeightedUnit } from "./steerlm/weighted-responses.ts"
export { DataUnfit } from "./data-unfit.ts"
export { dataFromFiles, type DataFileOptions, dataKind, type DataKind, unitLengths } from "./data-file.ts"
export { pairwise } from "./reward-model/pairwise.ts"
export { namedWeights, WeightedName } from "./reward-model/named-weights.ts"
export { openRewardModel, openScored } from "./reward-model/open-reward-model.ts"
export { processReward } from "./reward-model/process.ts"
export { attributeRegression } from "./reward-model/regression.ts"
export { GradedData, rewardPairs, StepwiseData } from "./reward-model/reward-data.ts"
