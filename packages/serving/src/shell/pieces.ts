import { Effect, Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { jsonTexts } from "./json-texts.ts"
import { PIECE, turns } from "./turns.ts"

/**
 * An answer that is written in pieces, each in its turn of the event loop and when the client has taken the one before it. What
 * is short says its length.
 */
export const jsonAnswer = (value: object): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.suspend(() => {
    const texts = jsonTexts(value)
    return Effect.map(nextPiece(texts), (first) =>
      first.length < PIECE
        ? HttpServerResponse.text(first, { contentType: JSON_TYPE })
        : HttpServerResponse.stream(
            Stream.concat(
              Stream.sync(() => utf8.encode(first)),
              pieces(texts)
            ),
            {
              contentType: JSON_TYPE
            }
          )
    )
  })

const JSON_TYPE = "application/json"
const utf8 = new TextEncoder()

/** Bytes of the joined texts, which are made piece by piece. */
export const pieces = (texts: Iterator<string>): Stream.Stream<Uint8Array> =>
  Stream.unfold(texts, (rest) =>
    Effect.map(nextPiece(rest), (text) => (text === "" ? undefined : ([utf8.encode(text), rest] as const)))
  )

/** @returns empty where there is no more */
const nextPiece = (texts: Iterator<string>): Effect.Effect<string> =>
  Effect.map(turns.take, () => {
    const text = joined(texts)
    turns.spend(text.length)
    return text
  })

const joined = (texts: Iterator<string>): string => {
  const parts: Array<string> = []
  let length = 0
  while (length < PIECE) {
    const next = texts.next()
    if (next.done === true) break
    parts.push(next.value)
    length += next.value.length
  }
  return parts.join("")
}
