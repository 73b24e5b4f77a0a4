import { Effect } from "effect"
import { AnswerUnusable } from "./gathered.ts"
import { Unanswered } from "./unanswered.ts"

/** Runs a reader; what it throws of an answer is a failure that no second try mends. */
export const reading = <A>(read: () => A): Effect.Effect<A, Unanswered> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(read())
    } catch (cause) {
      if (cause instanceof AnswerUnusable)
        return Effect.fail(new Unanswered({ reason: cause.message, transient: false }))
      throw cause
    }
  })
