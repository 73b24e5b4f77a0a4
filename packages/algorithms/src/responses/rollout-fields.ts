import { samplingFields } from "@plumbline/rollout-generation"
import { option, optional, Positive, PositiveInt } from "@plumbline/training"
import { Schema } from "effect"

/** @param does what the server is there for */
export const writingServer = (does: string) =>
  optional(
    Schema.NonEmptyString,
    `a plumb serve --accept-weights, e.g. http://127.0.0.1:8000, that ${does}; its token in PLUMBLINE_TOKEN`
  )

export const generatorUrl = writingServer("is sent the new weights and writes in place of the engine of this process")

/** Rows that an engine writes at a time where nobody says how many. */
export const ROWS = 64

/** Seconds that a server has for a prompt's responses where nobody says how many; the engine of this process has its time. */
const PATIENCE = 600

/** How a command's responses are written; the same for every algorithm that writes its own. */
export const rolloutFields = {
  maxNewTokens: option(PositiveInt, 256, "most tokens of a response; never beyond --max-length with its prompt"),
  temperature: samplingFields.temperature,
  topP: samplingFields.topP,
  topK: samplingFields.topK,
  generatorUrl,
  maxRows: optional(PositiveInt, `responses written at the same time (default: ${ROWS})`),
  generationTimeout: optional(
    Positive,
    `seconds after which a prompt without its responses ends the run (default: ${PATIENCE} with --generator-url, else none)`
  )
} as const

interface RolloutFlags {
  readonly seed: number
  readonly maxNewTokens: number
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly generatorUrl?: string | undefined
  readonly generationTimeout?: number | undefined
}

/** The flags as options of an algorithm. */
export const responseOptions = ({ maxNewTokens, seed, temperature, topK, topP, ...flags }: RolloutFlags) => ({
  seed,
  sampling: { maxNewTokens, temperature, topP, topK },
  deadlineSeconds: deadlineOf(flags)
})

/** Seconds after which a prompt without its responses ends the run; never when undefined. */
export const deadlineOf = ({
  generationTimeout,
  generatorUrl: url
}: Pick<RolloutFlags, "generationTimeout" | "generatorUrl">): number | undefined =>
  generationTimeout ?? (url === undefined ? undefined : PATIENCE)
