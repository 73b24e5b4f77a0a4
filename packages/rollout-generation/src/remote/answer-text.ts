import { Effect, Stream } from "effect"
import type { HttpClientResponse } from "effect/http"
import { disconnected } from "./disconnected.ts"
import { Unanswered } from "./unanswered.ts"

/** Characters of an answer, or of an event of one: more are no text of V8's, and an answer without end is no answer. */
export const MOST_CHARACTERS = 2 ** 29 - 2 ** 20

/** Parts of an answer's text. */
const parts = ({ stream }: HttpClientResponse.HttpClientResponse): Stream.Stream<string, Unanswered> =>
  Stream.decodeText(Stream.mapError(stream, disconnected))

/** All of an answer. */
export const wholeText = (
  response: HttpClientResponse.HttpClientResponse,
  most = MOST_CHARACTERS
): Effect.Effect<string, Unanswered> =>
  Effect.suspend(() => {
    const read: Array<string> = []
    let length = 0
    const keep = (part: string) => {
      read.push(part)
      return (length += part.length) > most ? tooLong(most) : Effect.void
    }
    return Effect.map(Stream.runForEach(parts(response), keep), () => read.join(""))
  })

/** Its lines, as they come. */
export const textLines = (
  response: HttpClientResponse.HttpClientResponse,
  most = MOST_CHARACTERS
): Stream.Stream<string, Unanswered> =>
  Stream.suspend(() => {
    let length = 0
    const count = (part: string) => {
      const end = Math.max(part.lastIndexOf("\n"), part.lastIndexOf("\r"))
      length = end < 0 ? length + part.length : part.length - end - 1
      return length > most ? tooLong(most) : Effect.void
    }
    return Stream.splitLines(Stream.tap(parts(response), count))
  })

const tooLong = (most: number) =>
  Effect.fail(new Unanswered({ reason: `its answer does not end within ${most} characters`, transient: false }))
