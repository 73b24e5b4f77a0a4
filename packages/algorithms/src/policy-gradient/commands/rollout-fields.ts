import { samplingFields } from "@plumbline/rollout-generation"
import {
  batchFields,
  NonNegative,
  NonNegativeInt,
  optimizationFields,
  option,
  optional,
  Positive,
  PositiveInt,
  runFields,
  ScheduleName
} from "@plumbline/training"
import { Schema } from "effect"
import { trainFields } from "../../command-fields.ts"
import { evaluationFields } from "../../responses/evaluation-fields.ts"
import { CLIP_RANGE } from "./loss-fields.ts"
import { rewardFields } from "../../responses/reward-fields.ts"
import { generatorUrl } from "../../responses/rollout-fields.ts"

/** Where prompts, responses and rewards come from. */
export const rolloutFields = {
  ...trainFields,
  ...rewardFields,
  samples: option(PositiveInt, 8, "responses to each prompt"),
  ...samplingFields,
  maxNewTokens: option(PositiveInt, 256, "most tokens of a response; never beyond --max-length with its prompt"),
  rolloutBatches: option(PositiveInt, 1, "optimizer steps that share out the prompts of a rollout"),
  innerEpochs: option(PositiveInt, 1, "times that each is gone over"),
  staleness: option(
    NonNegativeInt,
    0,
    "rollouts written ahead, by weights that have not learnt from those before; hides slow rewards, and remote generation"
  ),
  generatorUrl,
  maxRows: optional(PositiveInt, "responses written at the same time (default: all of a rollout, at most 256)"),
  cacheTokens: optional(PositiveInt, "tokens that the key-value cache holds (default: what --max-rows contexts take)"),
  keepRollouts: option(PositiveInt, 200, "newest rollouts whose responses and tokens stay in the store"),
  generationTimeout: option(Positive, 600, "seconds after which a prompt without its responses ends the run")
} as const

export const KlPlace = Schema.Literals(["loss", "reward"])

/** For algorithms that hold the responses to a prompt against each other. */
export const groupFields = {
  dynamicSampling: optional(
    PositiveInt,
    "prompts whose responses all have the same reward make room for others, at most this many for each prompt of a rollout"
  )
} as const

/** What becomes of rewards before and in the loss. */
export const penaltyFields = {
  reference: optional(
    Schema.NonEmptyString,
    "folder of the reference policy, asked where there is a KL (default: the policy before training; --model itself is an --adapter turned off)"
  ),
  klCoefficient: option(NonNegative, 0, "pull toward the reference policy; 0 asks none"),
  klPlace: option(KlPlace, "loss", "whether the KL is a term of the loss or taken from rewards"),
  klEstimator: optional(
    Schema.Literals(["k1", "k2", "k3", "abs"]),
    "estimate of the KL by token: in the reward any (default: k1, of ppo abs), in the loss k2, k3 or abs (default: k3)"
  ),
  klTarget: optional(Positive, "KL of a response, nats, that the coefficient is led to"),
  klHorizon: option(PositiveInt, 10_000, "responses over which the coefficient may change by a fifth"),
  entropyCoefficient: option(NonNegative, 0, "weight of the tokens' entropy, which the loss is lowered by"),
  maskTruncated: option(Schema.Boolean, false, "learn nothing from responses that --max-new-tokens cut"),
  overlongMargin: optional(PositiveInt, "tokens before --max-new-tokens over which a penalty grows (DAPO)"),
  overlongPenalty: option(NonNegative, 1, "that penalty at the end"),
  samplerCorrection: option(
    Schema.Literals([
      "none",
      "truncate_tokens",
      "mask_tokens",
      "truncate_sequences",
      "mask_sequences",
      "truncate_geometric",
      "mask_geometric"
    ]),
    "truncate_tokens",
    "weights of tokens whose sampler gave them other odds than the model has"
  ),
  samplerCap: option(Positive, 2, "most that such a weight is; masks drop what is beyond it, and below its inverse"),
  clipRange: option(Positive, CLIP_RANGE, "ε: ratios gain nothing beyond 1 ± ε"),
  clipRangeHigh: optional(Positive, "ε above 1 (clip-higher; default: --clip-range)"),
  dualClip: optional(Positive, "a token with a negative advantage costs at most this times it; above 1")
} as const

export const loopFields = {
  ...batchFields,
  batchSize: option(PositiveInt, 8, "prompts of an optimizer step"),
  microBatchSize: optional(PositiveInt, "responses computed at once; changes memory, never the step (default: all)"),
  overlong: option(
    Schema.Literals(["drop", "error"]),
    "drop",
    "prompts that leave no room for a response within --max-length: leave out, or refuse"
  ),
  ...optimizationFields,
  learningRate: option(Positive, 1e-6, "peak learning rate of AdamW"),
  lrSchedule: option(ScheduleName, "constant", "shape of the learning rate after warm-up"),
  ...runFields,
  ...evaluationFields
} as const
