import { OptionsInvalid } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { LossInvalid } from "../../loss-invalid.ts"
import { type Aggregation, constantLength, sequenceMean, sequenceSum, tokenMean } from "../aggregation.ts"
import { clip, type ClipOptions, geometricClip } from "../surrogates/clip.ts"
import { gmpo } from "../surrogates/gmpo.ts"
import { cispo, vespo } from "../surrogates/likelihood.ts"
import { sapo } from "../surrogates/sapo.ts"
import type { Surrogate } from "../surrogates/surrogate.ts"

/** Flags that some losses read and others do not. */
export interface LossFlags {
  readonly clipRange: number
  readonly clipRangeHigh?: number | undefined
  readonly dualClip?: number | undefined
  readonly cispoCap?: number | undefined
  readonly gmpoClip: number
  readonly maxNewTokens: number
}

interface Choice {
  readonly surrogate: (flags: LossFlags) => Surrogate
  readonly aggregation: (flags: LossFlags) => Aggregation
}

const clips = ({ clipRange, clipRangeHigh = clipRange, dualClip }: LossFlags): ClipOptions => ({
  low: clipRange,
  high: clipRangeHigh,
  ...(dualClip !== undefined && { dual: dualClip })
})
const clipped = (flags: LossFlags) => clip(clips(flags))
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
  luspo: { surrogate: (flags) => geometricClip(clips(flags)), aggregation: sequenceSum },
  gspo: { surrogate: (flags) => geometricClip(clips(flags)), aggregation: sequenceMean },
  cispo: { surrogate: ({ cispoCap }) => cispo({ least: 0, cap: cispoCap ?? missingCap() }), aggregation: tokenMean },
  sapo: { surrogate: () => sapo({ positive: 1, negative: 1.05 }), aggregation: sequenceMean },
  vespo: { surrogate: () => vespo({ better: [2, 3], worse: [3, 2] }), aggregation: tokenMean },
  gmpo: { surrogate: ({ gmpoClip }) => gmpo({ clipRange: gmpoClip }), aggregation: sequenceMean }
} satisfies Readonly<Record<string, Choice>>

type LossName = keyof typeof losses

export const PolicyLossName = Schema.Literals(Object.keys(losses) as ReadonlyArray<LossName>)

const readers: ReadonlyArray<
  readonly [flag: string, isGiven: (flags: LossFlags) => boolean, by: ReadonlyArray<LossName>]
> = [
  ["--cispo-cap", ({ cispoCap }) => cispoCap !== undefined, ["cispo"]],
  ["--gmpo-clip", ({ gmpoClip }) => gmpoClip !== 0.4, ["gmpo"]],
  ["--clip-range", ({ clipRange }) => clipRange !== 0.2, ["dapo", "bnpo", "grpo", "dr_grpo", "luspo", "gspo"]],
  [
    "--clip-range-high",
    ({ clipRangeHigh }) => clipRangeHigh !== undefined,
    ["dapo", "bnpo", "grpo", "dr_grpo", "luspo", "gspo"]
  ],
  ["--dual-clip", ({ dualClip }) => dualClip !== undefined, ["dapo", "bnpo", "grpo", "dr_grpo", "luspo", "gspo"]]
]

/** Surrogate and aggregation of a name; flags that it does not read are refused. */
export const policyLoss = (name: LossName, flags: LossFlags) =>
  Effect.gen(function* () {
    for (const [option, isGiven, by] of readers) {
      if (isGiven(flags) && !by.includes(name)) {
        return yield* new OptionsInvalid({ option, reason: `is not read by --loss ${name}` })
      }
    }
    const { aggregation, surrogate }: Choice = losses[name]
    return yield* Effect.try({
      try: () => ({ surrogate: surrogate(flags), aggregation: aggregation(flags) }),
      catch: (cause) => {
        if (cause instanceof LossInvalid) return cause
        throw cause
      }
    })
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
