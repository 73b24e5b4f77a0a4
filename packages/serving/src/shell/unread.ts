import { Effect, Stream } from "effect"
import type { ServerResponse } from "node:http"

/** Cuts off a client that leaves an answer unread for longer than this, so that nothing is kept for it. */
export interface UnreadWatch {
  /** Watches every part of a streamed answer. */
  readonly stream: <A, E>(parts: Stream.Stream<A, E>) => Stream.Stream<A, E>
  /** Watches what is left to send once the whole answer is handed over. */
  readonly rest: () => void
}

export const unreadWatch = (response: ServerResponse, seconds: number): UnreadWatch => {
  let timer: NodeJS.Timeout | undefined
  const stop = () => clearTimeout(timer)
  const start = () => {
    stop()
    timer = setTimeout(() => response.destroy(), seconds * 1000)
  }
  response.once("close", stop)
  return {
    // the writer asks for the next part when the socket has taken the last one
    stream: (parts) =>
      Stream.transformPull(parts, (pull) =>
        Effect.succeed(
          Effect.suspend(() => {
            stop()
            return Effect.tap(pull, () => Effect.sync(start))
          })
        )
      ),
    rest: () => {
      if (!response.closed) start()
    }
  }
}
