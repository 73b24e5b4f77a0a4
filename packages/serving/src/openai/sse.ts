import { Stream } from "effect"
import { HttpServerResponse } from "effect/http"

/** Objects as server-sent events. */
export const eventStream = (events: Stream.Stream<object | "[DONE]">): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.stream(
    Stream.encodeText(
      Stream.map(events, (event) => `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`)
    ),
    {
      contentType: "text/event-stream; charset=utf-8",
      // proxies must pass every event on at once
      headers: { "cache-control": "no-cache", "x-accel-buffering": "no" }
    }
  )
