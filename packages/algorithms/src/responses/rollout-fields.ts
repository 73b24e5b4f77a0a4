import { NonNegative, NonNegativeInt, option, PositiveInt } from "@plumbline/training"
import { Schema } from "effect"

/** How a command's responses are written; the same for every algorithm that writes its own. */
export const rolloutFields = {
  maxNewTokens: option(PositiveInt, 256, "most tokens of a response; never beyond --max-length with its prompt"),
  temperature: option(NonNegative, 1, "divides the logits of responses; 0 takes the most likely token"),
  topP: option(
    Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1, exclusiveMinimum: true })),
    1,
    "only the most likely tokens whose probabilities reach this; 1 = all"
  ),
  topK: option(NonNegativeInt, 0, "only this many most likely tokens; 0 = all"),
  maxRows: option(PositiveInt, 64, "responses written at the same time")
} as const

interface RolloutFlags {
  readonly seed: number
  readonly maxNewTokens: number
  readonly temperature: number
  readonly topP: number
  readonly topK: number
}

/** The flags as options of an algorithm. */
export const responseOptions = ({ maxNewTokens, seed, temperature, topK, topP }: RolloutFlags) => ({
  seed,
  sampling: { maxNewTokens, temperature, topP, topK }
})
