import { flagName } from "@plumbline/data"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { LossInvalid } from "../../loss-invalid.ts"
import { type Aggregation, constantLength, sequenceMean, sequenceSum, tokenMean } from "../aggregation.ts"
import { clip, type ClipOptions, geometricClip, geometricTokenClip } from "../surrogates/clip.ts"
import { gmpo } from "../surrogates/gmpo.ts"
import { cispo, logLikelihood, vespo } from "../surrogates/likelihood.ts"
import { sapo } from "../surrogates/sapo.ts"
import type { Surrogate } from "../surrogates/surrogate.ts"
import { CLIP_RANGE, DEFAULTS, type lossFields } from "./loss-fields.ts"

/** Flags that some losses read and others do not. */
export type LossFlags = Schema.Struct<typeof lossFields>["Type"] & {
  readonly clipRange: number
  readonly clipRangeHigh?: number | undefined
  readonly dualClip?: number | undefined
  readonly maxNewTokens: number
}

interface Choice {
  readonly surrogate: (flags: LossFlags) => Surrogate
  readonly aggregation: (flags: LossFlags) => Aggregation
}

/** Flags that bound a ratio. */
export type Bounds = Pick<LossFlags, "clipRange" | "clipRangeHigh" | "dualClip">

export const boundsOf = ({ clipRange, clipRangeHigh = clipRange, dualClip }: Bounds): ClipOptions => ({
  low: clipRange,
  high: clipRangeHigh,
  ...(dualClip !== undefined && { dual: dualClip })
})

/** Whose ratio is clipped, by TRL's names: a token's, the response's, or that of the response for each token. */
const levels = { token: clip, sequence: geometricClip, sequence_token: geometricTokenClip } as const

/** @param level where the flags say no other */
const clippedAt =
  (level: keyof typeof levels) =>
  (flags: LossFlags): Surrogate =>
    levels[flags.importanceSamplingLevel ?? level](boundsOf(flags))
const clipped = clippedAt("token")
const missingCap = () => {
  const reason = "needs --cispo-cap, the most a token may weigh: there is no default, as it is not a distance from 1"
  throw new LossInvalid({ loss: "cispo", reason })
}

/** What `--loss` of plumb grpo can name; the names are TRL's. */
const losses = {
  dapo: { surrogate: clipped, aggregation: tokenMean },
  bnpo: { surrogate: clipped, aggregation: tokenMean },
  grpo: { surrogate: clipped, aggregation: sequenceMean },
  dr_grpo: { surrogate: clipped, aggregation: ({ maxNewTokens }) => constantLength(maxNewTokens) },
  luspo: { surrogate: clippedAt("sequence"), aggregation: sequenceSum },
  gspo: { surrogate: clippedAt("sequence"), aggregation: sequenceMean },
  gspo_token: { surrogate: clippedAt("sequence_token"), aggregation: sequenceMean },
  cispo: {
    surrogate: ({ cispoCap, cispoFloor: least }) => cispo({ least, cap: cispoCap ?? missingCap() }),
    aggregation: tokenMean
  },
  sapo: {
    surrogate: (flags) => sapo({ positive: flags.sapoTemperaturePos, negative: flags.sapoTemperatureNeg }),
    aggregation: sequenceMean
  },
  vespo: {
    surrogate: ({ vespoKNeg, vespoKPos, vespoLambdaNeg, vespoLambdaPos }) =>
      vespo({ better: [vespoKPos, vespoLambdaPos], worse: [vespoKNeg, vespoLambdaNeg] }),
    aggregation: tokenMean
  },
  gmpo: { surrogate: ({ gmpoClip }) => gmpo({ clipRange: gmpoClip }), aggregation: sequenceMean },
  gpg: { surrogate: logLikelihood, aggregation: tokenMean }
} satisfies Readonly<Record<string, Choice>>

type LossName = keyof typeof losses

export const PolicyLossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<LossName>)

/** Losses whose ratio may be a token's or a response's. */
const LEVELLED: ReadonlyArray<LossName> = ["dapo", "bnpo", "grpo", "dr_grpo", "luspo"]
const CLIPPING: ReadonlyArray<LossName> = [...LEVELLED, "gspo", "gspo_token"]

/** Flags that losses read, what they are where nobody gave them, and by whom they are read. */
const readers: ReadonlyArray<
  readonly [field: keyof LossFlags, absent: number | undefined, by: ReadonlyArray<LossName>]
> = [
  ["importanceSamplingLevel", undefined, LEVELLED],
  ["cispoCap", undefined, ["cispo"]],
  ["cispoFloor", DEFAULTS.cispoFloor, ["cispo"]],
  ["gmpoClip", DEFAULTS.gmpoClip, ["gmpo"]],
  ["sapoTemperaturePos", DEFAULTS.sapoTemperaturePos, ["sapo"]],
  ["sapoTemperatureNeg", DEFAULTS.sapoTemperatureNeg, ["sapo"]],
  ["vespoKPos", DEFAULTS.vespoKPos, ["vespo"]],
  ["vespoLambdaPos", DEFAULTS.vespoLambdaPos, ["vespo"]],
  ["vespoKNeg", DEFAULTS.vespoKNeg, ["vespo"]],
  ["vespoLambdaNeg", DEFAULTS.vespoLambdaNeg, ["vespo"]],
  ["clipRange", CLIP_RANGE, CLIPPING],
  ["clipRangeHigh", undefined, CLIPPING],
  ["dualClip", undefined, CLIPPING]
]

/** Losses without a ratio, which fit the first step on a rollout alone. */
const ONCE: ReadonlySet<LossName> = new Set(["gpg"])

/** Surrogate and aggregation of a name; flags that it does not read are refused. */
export const policyLoss = (name: LossName, flags: LossFlags & StepsOnRollout) =>
  Effect.gen(function* () {
    for (const [field, absent, by] of readers) {
      if (flags[field] === absent || by.includes(name)) continue
      return yield* new OptionsInvalid({ option: flagName(field), reason: `is not read by --loss ${name}` })
    }
    if (ONCE.has(name)) yield* firstStepOnly(`--loss ${name}`, flags)
    const { aggregation, surrogate }: Choice = losses[name]
    return yield* Effect.try({
      try: () => ({ surrogate: surrogate(flags), aggregation: aggregation(flags) }),
      catch: (cause) => {
        if (cause instanceof LossInvalid) return cause
        throw cause
      }
    })
  })

interface StepsOnRollout {
  readonly innerEpochs: number
  readonly rolloutBatches: number
}

/** Refuses more than one step on a rollout. @param name of what has no ratio */
export const firstStepOnly = Effect.fnUntraced(function* (
  name: string,
  { innerEpochs, rolloutBatches }: StepsOnRollout
) {
  if (innerEpochs * rolloutBatches === 1) return
  const option = innerEpochs > 1 ? "--inner-epochs" : "--rollout-batches"
  const reason = `${name} has no ratio, so a second step on a rollout would not know that the policy has moved: take rloo or grpo`
  return yield* new OptionsInvalid({ option, reason })
})

/** A bound of a command's own loss, where it is out of bounds. */
export const checkedSurrogate = (make: () => Surrogate): Effect.Effect<Surrogate, LossInvalid> =>
  Effect.try({
    try: make,
    catch: (cause) => {
      if (cause instanceof LossInvalid) return cause
      throw cause
    }
  })
