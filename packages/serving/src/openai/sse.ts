import { Stream } from "effect"
import { HttpServerResponse } from "effect/http"
import { jsonTexts } from "../shell/json-texts.ts"
import { pieces } from "../shell/pieces.ts"

type Event = object | "[DONE]"

/** Objects as server-sent events. */
export const eventStream = (events: Stream.Stream<Event>): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    events.pipe(
      Stream.mapArray((some) => [some] as const),
      Stream.flatMap((some) => pieces(eventTexts(some)))
    ),
    {
      contentType: "text/event-stream; charset=utf-8",
      // proxies must pass every event on at once, and so may not compress them together
      headers: { "cache-control": "no-cache, no-transform", "x-accel-buffering": "no" }
    }
  )

function* eventTexts(events: Iterable<Event>): Generator<string, void> {
  for (const event of events) {
    yield "data: "
    if (typeof event === "string") yield event
    else yield* jsonTexts(event)
    yield "\n\n"
  }
}
