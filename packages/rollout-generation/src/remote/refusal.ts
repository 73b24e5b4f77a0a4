import { Effect, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import { Unanswered } from "./unanswered.ts"

const TRANSIENT: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])
/** By which what stands before a server says that it has no connection to it. */
const BAD_GATEWAY = 502
/** Statuses by which a server refuses a request for what it says. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 422])

/** Why an answer that is no success is none. */
export const refusal = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<never, Unanswered> =>
  Effect.flatMap(beginningOf(response), (text) => {
    const { message, param } = errorIn(text)
    const wait = secondsUntil(response.headers["retry-after"] ?? "")
    const { location } = response.headers
    const said = [message, location === undefined ? "" : `which leads to ${location}`].filter((words) => words !== "")
    return Effect.fail(
      new Unanswered({
        reason: [`status ${response.status}`, ...said].join(", "),
        transient: TRANSIENT.has(response.status),
        ...(response.status === BAD_GATEWAY ? { lost: true } : {}),
        ...(REFUSED.has(response.status) ? { field: param ?? "request" } : {}),
        ...(wait > 0 ? { retryAfter: wait * 1000 } : {})
      })
    )
  })

/** Characters of an error that are read, and milliseconds for them: it is told whether or not its text ends. */
const MOST_CHARACTERS = 2 ** 16
const MOST_TIME = 2000

const beginningOf = ({ stream }: HttpClientResponse.HttpClientResponse): Effect.Effect<string> =>
  Effect.suspend(() => {
    let text = ""
    const reading = Stream.runForEachWhile(Stream.decodeText(stream), (part) =>
      Effect.sync(() => (text += part).length < MOST_CHARACTERS)
    )
    return Effect.map(Effect.timeoutOption(Effect.ignore(reading), MOST_TIME), () => text)
  })

/** `retry-after`: seconds, or a date as proxies write it. NaN where there is neither. */
const secondsUntil = (text: string): number => {
  const seconds = text === "" ? Number.NaN : Number(text)
  return Number.isNaN(seconds) ? (Date.parse(text) - Date.now()) / 1000 : seconds
}

interface Said {
  /** OpenAI's; of some servers a text. */
  readonly error?: { readonly message?: unknown; readonly param?: unknown } | string | null
  readonly message?: unknown
  /** FastAPI's: a text, or what is wrong with which field. */
  readonly detail?: unknown
}

/** The words of an error in the ways of servers, or the beginning of whatever was sent instead. */
const errorIn = (text: string): { readonly message: string; readonly param?: string } => {
  try {
    const { detail, error, message } = JSON.parse(text) as Said
    const field = fieldIn(detail)
    const { message: words, param } = typeof error === "string" ? { message: error } : (error ?? {})
    const named = typeof param === "string" ? param : field?.name
    const said = [words, message, field?.reason, detail].find((one) => typeof one === "string")
    return { message: String(said ?? text).slice(0, 500), ...(named === undefined ? {} : { param: named }) }
  } catch {
    return { message: text.slice(0, 200) }
  }
}

/** The first of `[{ loc: ["body", …], msg }, …]`. */
const fieldIn = (detail: unknown): { readonly name: string; readonly reason: unknown } | undefined => {
  const first: unknown = Array.isArray(detail) ? detail[0] : undefined
  if (typeof first !== "object" || first === null || !("loc" in first) || !Array.isArray(first.loc)) return undefined
  return { name: first.loc.slice(1).join("."), reason: "msg" in first ? first.msg : undefined }
}
