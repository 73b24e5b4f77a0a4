import { Cause, Predicate, Result } from "effect"
import { inspect } from "node:util"
import type { RunRefused } from "./doctor/report.ts"
import type { RunInterrupted } from "./run-interrupted.ts"
import { TextRequested, UsageError } from "./usage-error.ts"
import { usersFrames } from "./users-code.ts"

/** A failure of a command, ready for the terminal. */
export interface Rendered {
  readonly exitCode: 0 | 1 | 2
  readonly standardOutput: string
  readonly standardError: string
}

/** A next step, where the message itself does not name one. */
const HINTS: Readonly<Record<string, string>> = {
  BackendUnavailable: "--backend wasm on --device cpu needs nothing but npm ci",
  ConfigFileInvalid: "keys are the options in camelCase; --help lists the options",
  BatchInvarianceUnavailable: "the same works without --batch-invariant; sampler and trainer then differ by rounding",
  DeviceLost: "this process can compute no more; a run goes on from its newest checkpoint: plumb resume RUN",
  DoubledBos: "data or chat template bring a beginning-of-text token that is added once more: leave one out",
  EmptyDataset: "a data file has one JSON object a line",
  FileMissing: "check the path; relative paths start at the working directory",
  ModelNotFound: "a model folder has config.json, model.safetensors and tokenizer.json, as Hugging Face lays them out",
  NoRowsLeft: "a larger --max-length may keep them",
  OutOfMemory: "less at once may fit: smaller batches, shorter rows, --precision bfloat16, or a smaller model",
  ProcessDied:
    "SIGKILL is often the system's, for want of memory. A run goes on from its newest checkpoint: plumb resume RUN",
  RewardUnavailable:
    "plumb serve --model REWARD_MODEL scores at http://127.0.0.1:8000; a token goes in PLUMBLINE_TOKEN",
  RunUnknown: "plumb runs lists the runs of a store",
  TooFewRows: "choose a smaller --batch-size",
  VocabularyMismatch: "the tokenizer files and the weights are of different models"
}

const RED = "\u001b[31;1m"
const RESET = "\u001b[0m"

/** What went wrong on one screen; a defect prints where it happened and asks to be reported. */
export const renderFailure = (cause: Cause.Cause<unknown>, colour: boolean): Rendered => {
  const label = colour ? `${RED}error${RESET}` : "error"
  const failed = Cause.findError(cause)
  if (Result.isFailure(failed)) return defect(cause, label)
  const error = failed.success
  if (error instanceof TextRequested) return { exitCode: 0, standardOutput: `${error.text}\n`, standardError: "" }
  const hint = adviceOf(error) ?? hintOf(error)
  const lines = [
    `${label}: ${messageOf(error).replaceAll("\n", "\n       ")}`,
    ...(hint === undefined ? [] : [`hint: ${hint}`])
  ]
  return {
    exitCode: error instanceof UsageError ? 2 : 1,
    standardOutput: "",
    standardError: `${lines.join("\n")}\n`
  }
}

const messageOf = (error: unknown): string => {
  if (!(error instanceof Error)) return typeof error === "string" ? error : inspect(error, { depth: 1 })
  return error.message === "" ? String(error) : error.message
}

/** The next step of a failure that knows its own. */
const adviceOf = (error: unknown): string | undefined => {
  if (error instanceof UsageError) return error.help
  if (Predicate.isTagged(error, "RunInterrupted")) return (error as RunInterrupted).advice
  return Predicate.isTagged(error, "RunRefused") ? (error as RunRefused).advice : undefined
}

const hintOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "_tag" in error ? HINTS[String(error._tag)] : undefined

/** Frames of a recipe that are shown. */
const SHOWN_FRAMES = 8

const defect = (cause: Cause.Cause<unknown>, label: string): Rendered => {
  const error = Cause.squash(cause)
  const thrown = error instanceof Error ? usersFrames(error.stack) : []
  // those that called what threw, by Effect's account
  const calling = usersFrames(Cause.pretty(cause))
  const text =
    thrown.length > 0
      ? [`${label}: code of yours threw ${String(error)}`, ...shown(thrown)]
      : calling.length === 0
        ? [`${label}: this is a bug in Plumbline, please report it`, Cause.pretty(cause)]
        : (unprovided(error, calling, label) ?? [
            `${label}: a bug in Plumbline or in code of yours`,
            Cause.pretty(cause)
          ])
  return { exitCode: 1, standardOutput: "", standardError: `${text.join("\n")}\n` }
}

const shown = (frames: ReadonlyArray<string>) => frames.slice(0, SHOWN_FRAMES).map((frame) => `    ${frame}`)

/** Of a service that a recipe gives to nobody, where its type was not checked. */
const unprovided = (error: unknown, frames: ReadonlyArray<string>, label: string) => {
  const [, key] = (error instanceof Error && /^Service not found: (\S+)/.exec(error.message)) || []
  if (key === undefined) return undefined
  const name = key.slice(key.lastIndexOf("/") + 1)
  return [
    `${label}: code of yours needs the service ${key}, which it does not provide`,
    ...shown(frames),
    `hint: Effect.provide(${name}.layer…); the compiler finds what is missing before a run`
  ]
}
