import { Effect, type Scope, Semaphore } from "effect"
import type { Limits } from "./limits.ts"
import { RequestRefused } from "./request-refused.ts"

/** Who may wait and who may run. Both last as long as the request's scope. */
export interface Admission {
  /** A place among those that wait or run; 429 where there is none. */
  readonly enter: Effect.Effect<void, RequestRefused, Scope.Scope>
  /** A turn to run, in the order of asking. */
  readonly turn: Effect.Effect<void, never, Scope.Scope>
  readonly waiting: () => number
  readonly running: () => number
}

export const admission = ({ maxConcurrency, maxQueue }: Pick<Limits, "maxConcurrency" | "maxQueue">): Admission => {
  const turns = Semaphore.makeUnsafe(maxConcurrency)
  const pace = turnPace()
  let entered = 0
  let running = 0
  const full = Effect.suspend(() => Effect.fail(queueFull(pace.seconds())))
  return {
    enter: Effect.acquireRelease(
      Effect.suspend(() => (entered < maxConcurrency + maxQueue ? Effect.sync(() => void entered++) : full)),
      () => Effect.sync(() => void entered--)
    ),
    turn: Effect.gen(function* () {
      yield* Semaphore.takeScoped(turns, 1)
      yield* Effect.acquireRelease(
        Effect.sync(() => {
          running++
          return performance.now()
        }),
        (since) =>
          Effect.sync(() => {
            running--
            pace.note(performance.now() - since)
          })
      )
    }),
    waiting: () => entered - running,
    running: () => running
  }
}

const queueFull = (seconds: number) =>
  new RequestRefused({
    status: 429,
    reason: `the queue of this server is full; try again in ${seconds} s`,
    code: "queue_full",
    headers: { "retry-after": String(seconds) }
  })

/** How long a turn takes, smoothed. */
const turnPace = () => {
  let milliseconds = 0
  return {
    note: (duration: number) => void (milliseconds += 0.2 * (duration - milliseconds)),
    /** Whole seconds, from 1 to 60. */
    seconds: () => Math.min(60, Math.max(1, Math.ceil(milliseconds / 1000)))
  }
}
