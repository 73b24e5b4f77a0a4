import { Effect, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import type { GenerationEvent, GenerationRequest } from "../request.ts"
import { textLines } from "./answer-text.ts"
import { AnswerUnusable } from "./gathered.ts"
import type { KnownServer } from "./options.ts"
import { decodeCompletion, streamReader } from "./read-answer.ts"
import { reading } from "./reading.ts"
import { Unanswered } from "./unanswered.ts"

/** The events of a streamed answer: its lines `data: {…}`. It must be whole when it ends. */
export const streamEvents = (
  response: HttpClientResponse.HttpClientResponse,
  request: GenerationRequest,
  options: KnownServer
): Stream.Stream<GenerationEvent, Unanswered> =>
  Stream.suspend(() => {
    const reader = streamReader(request, options)
    let stray = ""
    const isEvent = (line: string): boolean => {
      if (line.startsWith("data:")) return true
      if (stray === "" && !OTHER_LINE.test(line)) stray = line.slice(0, 200)
      return false
    }
    const events = textLines(response).pipe(
      // the connection may stay open
      Stream.takeWhile((line) => !LAST_LINE.test(line)),
      Stream.filter(isEvent),
      Stream.mapEffect((line) => reading(() => reader.read(decodeCompletion(parseJson(line.slice(5)))))),
      Stream.flattenIterable
    )
    const end = Effect.suspend(() => {
      if (reader.whole()) return Effect.void
      const said = stray === "" ? "" : `; what it sent is no event: ${stray}`
      return Effect.fail(
        new Unanswered({ reason: `its stream ended before every response had${said}`, transient: false })
      )
    })
    return Stream.concat(events, Stream.fromEffectDrain(end))
  })

const LAST_LINE = /^data:\s*\[DONE\]\s*$/

/** Lines of an event beside its data, comments, and what parts events. */
const OTHER_LINE = /^(?:$|:|(?:event|id|retry):)/

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw new AnswerUnusable("it streams what is not JSON")
  }
}
