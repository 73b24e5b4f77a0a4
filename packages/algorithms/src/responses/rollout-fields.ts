import { samplingFields } from "@plumbline/rollout-generation"
import { option, PositiveInt } from "@plumbline/training"

/** How a command's responses are written; the same for every algorithm that writes its own. */
export const rolloutFields = {
  maxNewTokens: option(PositiveInt, 256, "most tokens of a response; never beyond --max-length with its prompt"),
  temperature: samplingFields.temperature,
  topP: samplingFields.topP,
  topK: samplingFields.topK,
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
