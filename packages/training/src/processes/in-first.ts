import { Processes } from "@plumbline/runtime"
import { Effect } from "effect"

/** Runs `effect` in the first process alone. The others wait until it is done, and get nothing; where it fails, so do they. */
export const inFirst = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | undefined, E, R> =>
  Effect.gen(function* () {
    const { exchange, rank } = yield* Processes
    const result = rank === 0 ? yield* effect : undefined
    exchange(null)
    return result
  })
