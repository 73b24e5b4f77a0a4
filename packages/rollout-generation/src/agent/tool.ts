import { issueText } from "@plumbline/data"
import { Result, Schema } from "effect"

export interface ToolOptions<S extends Schema.ConstraintDecoder<unknown>> {
  readonly name: string
  /** For the model: what it does and when it is of use. */
  readonly description: string
  /** Its arguments. */
  readonly input: S
  /** Time limit of one call. The call's signal is aborted then, and the model is told. */
  readonly seconds: number
  /**
   * Most characters (UTF-16 units) of what it returns or throws: the model is told the beginning, and how much was cut off.
   * 16,384 when absent; Infinity cuts nothing, and what is longer than the context then ends the episode.
   */
  readonly maxCharacters?: number
  /** Returns what the model is to read. What it throws is told to the model, too. */
  readonly run: (input: S["Type"], signal: AbortSignal) => Promise<string> | string
}

/** A typed function that a policy may call. */
export interface Tool {
  readonly name: string
  readonly description: string
  readonly seconds: number
  /** JSON Schema of the arguments. */
  readonly parameters: unknown
  /** Checks the arguments and runs it; whatever goes wrong is an outcome. Rejects only where `signal` is aborted. */
  readonly call: (input: unknown, signal?: AbortSignal) => Promise<ToolOutcome>
}

/** What became of a call. */
export type ToolOutcome =
  | Told<{ readonly _tag: "Returned"; readonly text: string }>
  /** It was not run: no such tool, or arguments that are none. */
  | { readonly _tag: "Refused"; readonly reason: string }
  | Told<{ readonly _tag: "Failed"; readonly reason: string }>
  | { readonly _tag: "TimedOut"; readonly seconds: number }

type Told<Outcome> = Outcome & {
  /** Characters that were cut off at its end; none when absent. */
  readonly cut?: number
}

/** Tokens of a few thousand words, in which documents and pages have most of what they say. */
const CHARACTERS = 16_384

/** @throws RangeError where `seconds` or `maxCharacters` is not a positive number */
export const tool = <S extends Schema.ConstraintDecoder<unknown>>(options: ToolOptions<S>): Tool => {
  const { description, input, maxCharacters = CHARACTERS, name, run, seconds } = options
  if (!(seconds > 0 && seconds <= MOST_SECONDS)) {
    throw new RangeError(`tool ${name}: seconds is ${seconds}, not a positive number up to ${MOST_SECONDS}`)
  }
  if (!(maxCharacters > 0)) {
    throw new RangeError(`tool ${name}: maxCharacters is ${maxCharacters}, not a positive number`)
  }
  const decode = Schema.decodeUnknownResult(input, { onExcessProperty: "error" })
  return {
    name,
    description,
    seconds,
    parameters: jsonSchema(input),
    call: async (given, signal) => {
      try {
        const decoded = decode(given)
        if (Result.isFailure(decoded)) return { _tag: "Refused", reason: issueText(decoded.failure.issue) }
        return bounded(await within(seconds, (own) => run(decoded.success, own), signal), maxCharacters)
      } catch (error) {
        if (signal?.aborted === true) throw signal.reason
        // a check of the schema's own threw
        return bounded({ _tag: "Failed", reason: reasonOf(error) }, maxCharacters)
      }
    }
  }
}

const jsonSchema = (input: Schema.Constraint): unknown => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(input)
  return Object.keys(definitions).length === 0 ? schema : { ...schema, $defs: definitions }
}

/** What timers can wait. */
const MOST_SECONDS = 2 ** 31 / 1000 - 1

/** Runs `body` until the time is up or `outer` is aborted; then nobody waits for it any longer, whether it listens or not. */
const within = (
  seconds: number,
  body: (signal: AbortSignal) => Promise<string> | string,
  outer: AbortSignal | undefined
): Promise<ToolOutcome> =>
  new Promise((resolve, reject) => {
    const own = new AbortController()
    const end = (settle: () => void): void => {
      clearTimeout(timer)
      outer?.removeEventListener("abort", leave)
      settle()
      own.abort()
    }
    const leave = () => end(() => reject(outer?.reason as Error))
    const timer = setTimeout(() => end(() => resolve({ _tag: "TimedOut", seconds })), seconds * 1000)
    if (outer?.aborted === true) return leave()
    outer?.addEventListener("abort", leave)
    const running = (async () => body(own.signal))()
    running.then(
      (text) => end(() => resolve(returned(text))),
      (error: unknown) => end(() => resolve({ _tag: "Failed", reason: reasonOf(error) }))
    )
  })

// what is run may come from JavaScript
const returned = (text: unknown): ToolOutcome =>
  typeof text === "string"
    ? { _tag: "Returned", text }
    : { _tag: "Failed", reason: `it returned no text but ${text === null ? "null" : typeof text}` }

/** The outcome with no more than the beginning of a long text. */
const bounded = (outcome: ToolOutcome, most: number): ToolOutcome => {
  if (outcome._tag === "Returned") {
    const { cut, text } = beginning(outcome.text, most)
    return cut === 0 ? outcome : { ...outcome, text, cut }
  }
  if (outcome._tag !== "Failed") return outcome
  const { cut, text } = beginning(outcome.reason, most)
  return cut === 0 ? outcome : { ...outcome, reason: text, cut }
}

const beginning = (text: string, most: number): { readonly text: string; readonly cut: number } => {
  if (text.length <= most) return { text, cut: 0 }
  const end = Math.floor(most)
  // no half of a character
  const kept = /[\uD800-\uDBFF]/.test(text[end - 1]!) && /[\uDC00-\uDFFF]/.test(text[end]!) ? end - 1 : end
  // a copy: a slice would hold the whole text as long as the transcript is there
  return { text: structuredClone(text.slice(0, kept)), cut: text.length - kept }
}

const reasonOf = (error: unknown): string => {
  try {
    return error instanceof Error ? String(error.message) || String(error.name) : String(error)
  } catch {
    return "it threw what has no text"
  }
}
