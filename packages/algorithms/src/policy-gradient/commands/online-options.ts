import { Tokenizer } from "@plumbline/data"
import { Policy, ReferencePolicy } from "@plumbline/models"
import { absoluteK1, k1, k2, k3, type KlEstimator } from "@plumbline/numerics"
import { samplingFields, type SamplingOptions } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Context, Effect, Layer, type Schema } from "effect"
import { referenceFolder } from "../../model-folder.ts"
import { adaptiveKl, fixedKl, type KlPenalty } from "../kl-penalty.ts"
import type { OnlineOptions } from "../policy-gradient.ts"
import {
  maskByGeometricMean,
  maskSequences,
  maskTokens,
  type SamplerCorrection,
  truncateByGeometricMean,
  truncateSequences,
  truncateTokens
} from "../sampler-correction.ts"
import type { loopFields, penaltyFields, rolloutFields } from "./rollout-fields.ts"

export type OnlineFields = typeof rolloutFields & typeof penaltyFields & typeof loopFields
export type OnlineFlags = Schema.Struct<OnlineFields>["Type"]

/** What the flags that all online commands share come to. @param estimatorInReward of the KL, where the flags say no other */
export const onlineOptions = Effect.fn("onlineOptions")(function* (
  flags: OnlineFlags,
  estimatorInReward: EstimatorName
) {
  const kl = yield* klPenalty(flags, flags.klPlace === "loss" ? "k3" : estimatorInReward)
  const sampling = yield* sampler(flags)
  const options: OnlineOptions = {
    kl,
    correction: corrections[flags.samplerCorrection](flags.samplerCap),
    entropyCoefficient: flags.entropyCoefficient,
    maskTruncated: flags.maskTruncated,
    samples: flags.samples,
    sampling,
    minibatches: flags.rolloutBatches,
    innerEpochs: flags.innerEpochs,
    seed: flags.seed,
    staleness: flags.staleness,
    keepRollouts: flags.keepRollouts,
    generationTimeout: flags.generationTimeout,
    // behind the deadline of a reward server, whose failure tells its address
    rewardTimeout: flags.rewardTimeout + 1
  }
  return options
})

const corrections: Readonly<Record<OnlineFlags["samplerCorrection"], (cap: number) => SamplerCorrection | undefined>> =
  {
    none: () => undefined,
    truncate_tokens: (cap) => truncateTokens({ cap }),
    mask_tokens: (cap) => maskTokens({ low: 1 / cap, high: cap }),
    truncate_sequences: (cap) => truncateSequences({ cap }),
    mask_sequences: (cap) => maskSequences({ cap }),
    truncate_geometric: (cap) => truncateByGeometricMean({ cap }),
    mask_geometric: (cap) => maskByGeometricMean({ low: 1 / cap, high: cap, cap })
  }

export type EstimatorName = NonNullable<OnlineFlags["klEstimator"]>

const estimators: Readonly<Record<EstimatorName, KlEstimator>> = { k1, k2, k3, abs: absoluteK1 }

const klPenalty = Effect.fnUntraced(function* (flags: OnlineFlags, usual: EstimatorName) {
  const {
    klCoefficient: initial,
    klEstimator = usual,
    klHorizon: horizon,
    klPlace,
    klTarget: target,
    reference
  } = flags
  if (initial === 0) {
    const given = (reference !== undefined && "--reference") || (target !== undefined && "--kl-target")
    if (given !== false && given !== undefined) {
      return yield* new OptionsInvalid({ option: given, reason: "is not read where --kl-coefficient is 0" })
    }
    return undefined
  }
  if (klPlace === "loss" && klEstimator === "k1") {
    const reason = "k1 has no gradient in the loss on average: take k2 or k3, or --kl-place reward"
    return yield* new OptionsInvalid({ option: "--kl-estimator", reason })
  }
  const model = Context.get(yield* Layer.build(referenceFolder(flags)), ReferencePolicy)
  const term = {
    coefficient: target === undefined ? fixedKl(initial) : adaptiveKl({ initial, target, horizon }),
    estimator: { name: klEstimator, estimate: estimators[klEstimator] },
    reference: Effect.succeed(model)
  }
  const penalty: KlPenalty =
    klPlace === "reward" ? { ...term, place: "reward" } : { ...term, place: "loss", weighedByRatio: true }
  return penalty
})

/** The sampling flags, and the tokens that end a text of this model besides. */
const sampler = Effect.fnUntraced(function* (flags: OnlineFlags) {
  const { endTokens } = yield* Policy
  const { stopIds } = yield* Tokenizer
  const own = Object.fromEntries(Object.entries(flags).filter(([field]) => field in samplingFields)) as SamplingOptions
  return { ...own, stopIds: [...new Set([...own.stopIds, ...stopIds, ...endTokens])] }
})
