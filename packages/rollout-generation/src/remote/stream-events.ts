import { Effect, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import type { GenerationEvent, GenerationRequest } from "../request.ts"
import { AnswerUnusable } from "./gathered.ts"
import type { KnownServer } from "./options.ts"
import { decodeCompletion, streamReader } from "./read-answer.ts"
import { reading } from "./reading.ts"
import { disconnected, Unanswered } from "./send.ts"

/** The events of a streamed answer: its lines `data: {…}`. It must be whole when it ends. */
export const streamEvents = (
  response: HttpClientResponse.HttpClientResponse,
  request: GenerationRequest,
  options: KnownServer
): Stream.Stream<GenerationEvent, Unanswered> =>
  Stream.suspend(() => {
    const reader = streamReader(request, options)
    const events = response.stream.pipe(
      Stream.mapError(disconnected),
      Stream.decodeText,
      Stream.splitLines,
      Stream.filter((line) => line.startsWith("data:") && line !== "data: [DONE]"),
      Stream.mapEffect((line) => reading(() => reader.read(decodeCompletion(parse(line.slice(5)))))),
      Stream.flattenIterable
    )
    const broken = new Unanswered({ reason: "its stream ended before every response had", transient: false })
    const end = Stream.fromEffectDrain(Effect.suspend(() => (reader.whole() ? Effect.void : Effect.fail(broken))))
    return Stream.concat(events, end)
  })

const parse = (text: string): unknown => {
  const value = parseJson(text)
  if (typeof value !== "object" || value === null || !("error" in value)) return value
  const { error } = value as { readonly error: { readonly message?: unknown } | null }
  throw new AnswerUnusable(`it broke off: ${String(error?.message ?? error)}`)
}

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new AnswerUnusable("it streams what is not JSON")
  }
}
