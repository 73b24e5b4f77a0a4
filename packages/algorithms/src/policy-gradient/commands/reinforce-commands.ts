import { OptionsInvalid, option, Positive, PositiveInt } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { batchBaseline, greedyBaseline } from "../advantages/baselines.ts"
import { leaveOneOut } from "../advantages/leave-one-out.ts"
import { whitenedGroups, whitenedReturns } from "../advantages/reinforce-plus-plus.ts"
import { sequenceMean, tokenMean } from "../aggregation.ts"
import { clip, sequenceClip } from "../surrogates/clip.ts"
import { logLikelihood } from "../surrogates/likelihood.ts"
import { CLIP_RANGE } from "./loss-fields.ts"
import { type Bounds, boundsOf, checkedSurrogate, firstStepOnly } from "./loss-table.ts"
import { onlineCommand } from "./online-command.ts"
import { groupFields } from "./rollout-fields.ts"

/** `plumb rloo`: the other responses to the prompt are the baseline, the whole response is one action. */
export const rlooCommand = onlineCommand({
  name: "rloo",
  own: { ...groupFields, samples: option(PositiveInt, 4, "responses to each prompt") },
  algorithm: (flags, shared) =>
    Effect.map(
      checkedSurrogate(() => sequenceClip(boundsOf(flags))),
      (surrogate) => ({
        ...shared,
        name: "rloo",
        dynamicSampling: flags.dynamicSampling,
        advantage: leaveOneOut({ endedOnly: false, scale: false }),
        surrogate,
        aggregation: sequenceMean()
      })
    )
})

/** `plumb reinforce`: NeMo-Aligner's REINFORCE. */
export const reinforceCommand = onlineCommand({
  name: "reinforce",
  own: { samples: option(PositiveInt, 4, "responses to each prompt; 1 takes the rollout's mean as baseline") },
  algorithm: (flags, shared) =>
    Effect.map(onceOnly("reinforce", flags), () => ({
      ...shared,
      name: "reinforce",
      advantage: flags.samples === 1 ? batchBaseline() : leaveOneOut({ endedOnly: true, scale: false }),
      surrogate: logLikelihood(),
      aggregation: tokenMean()
    }))
})

/** `plumb remax`: the greedy response is the baseline. */
export const remaxCommand = onlineCommand({
  name: "remax",
  own: { samples: option(PositiveInt, 1, "responses to each prompt, besides the greedy one") },
  algorithm: (flags, shared) =>
    Effect.map(onceOnly("remax", flags), () => ({
      ...shared,
      name: "remax",
      advantage: greedyBaseline(),
      surrogate: logLikelihood(),
      aggregation: tokenMean()
    }))
})

/** `plumb reinforce++`: returns whitened over the rollout, PPO's clipping, no critic. */
export const reinforcePlusPlusCommand = onlineCommand({
  name: "reinforce++",
  own: {
    groupBaseline: option(Schema.Boolean, false, "hold rewards against their group's mean before whitening"),
    discount: option(Positive, 1, "what a reward one token later is worth")
  },
  algorithm: (flags, shared) =>
    Effect.map(
      checkedSurrogate(() => clip(boundsOf(flags))),
      (surrogate) => ({
        ...shared,
        name: "reinforce++",
        advantage: flags.groupBaseline ? whitenedGroups() : whitenedReturns({ discount: flags.discount }),
        surrogate,
        aggregation: tokenMean()
      })
    )
})

/** A loss without a ratio reads no bounds, either. */
const onceOnly = Effect.fnUntraced(function* (
  name: string,
  flags: Bounds & { readonly innerEpochs: number; readonly rolloutBatches: number }
) {
  const { clipRange, clipRangeHigh, dualClip } = flags
  const problems: ReadonlyArray<readonly [boolean, string]> = [
    [clipRange !== CLIP_RANGE, "--clip-range"],
    [clipRangeHigh !== undefined, "--clip-range-high"],
    [dualClip !== undefined, "--dual-clip"]
  ]
  const unread = problems.find(([given]) => given)
  if (unread !== undefined) return yield* new OptionsInvalid({ option: unread[1], reason: `is not read by ${name}` })
  yield* firstStepOnly(name, flags)
})
