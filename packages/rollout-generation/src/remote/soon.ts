import { Effect } from "effect"
import type { RemoteOptions } from "./options.ts"
import { Unanswered } from "./unanswered.ts"

/** A server that does not answer what it need not compute hangs, and asking again would not help. */
export const soon = <A>(
  asked: Effect.Effect<A, Unanswered>,
  { answerSeconds: seconds = 10 }: Pick<RemoteOptions, "answerSeconds">
) =>
  Effect.timeoutOrElse(asked, {
    duration: seconds * 1000,
    orElse: () => Effect.fail(new Unanswered({ reason: `no answer in ${seconds} s`, transient: false }))
  })
