import { NonNegative, option, optional, Positive } from "@plumbline/training"
import { Schema } from "effect"

/** ε of PPO. */
export const CLIP_RANGE = 0.2

/** The papers' numbers of losses that have some. */
export const DEFAULTS = {
  cispoFloor: 0,
  gmpoClip: 0.4,
  sapoTemperaturePos: 1,
  sapoTemperatureNeg: 1.05,
  vespoKPos: 2,
  vespoLambdaPos: 3,
  vespoKNeg: 3,
  vespoLambdaNeg: 2
} as const

/** Flags of single losses of plumb grpo; names are TRL's where it has them. */
export const lossFields = {
  importanceSamplingLevel: optional(
    Schema.Literals(["token", "sequence", "sequence_token"]),
    "whose ratio is clipped: a token's, or the geometric mean of a response's (default: sequence for luspo, else token; --loss grpo with sequence is gspo)"
  ),
  cispoCap: optional(Positive, "most that a token weighs under --loss cispo, which needs it: 5 in TRL, 1.28 in verl"),
  cispoFloor: option(NonNegative, DEFAULTS.cispoFloor, "least that it weighs there: 0 in TRL, 0.8 in verl"),
  gmpoClip: option(Positive, DEFAULTS.gmpoClip, "most of a token's log-ratio under --loss gmpo"),
  sapoTemperaturePos: option(Positive, DEFAULTS.sapoTemperaturePos, "τ of --loss sapo for positive advantages"),
  sapoTemperatureNeg: option(Positive, DEFAULTS.sapoTemperatureNeg, "τ of --loss sapo for the others"),
  vespoKPos: option(Positive, DEFAULTS.vespoKPos, "k of --loss vespo for advantages of at least 0"),
  vespoLambdaPos: option(Positive, DEFAULTS.vespoLambdaPos, "λ of --loss vespo for them"),
  vespoKNeg: option(Positive, DEFAULTS.vespoKNeg, "k of --loss vespo for the others"),
  vespoLambdaNeg: option(Positive, DEFAULTS.vespoLambdaNeg, "λ of --loss vespo for the others")
} as const
