import { Cause, Effect, Result } from "effect"
import type { DeviceFailure } from "./device-failure.ts"
import { ModelRuntime } from "./model-runtime.ts"

/**
 * Makes typed failures of what the device does to `effect`: tensors are computed in synchronous code, which can only
 * throw. Whatever else it throws stays a defect.
 */
export const computing = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DeviceFailure, R | ModelRuntime> =>
  Effect.flatMap(ModelRuntime, ({ failureOf }) =>
    Effect.catchCause(effect, (cause): Effect.Effect<never, E | DeviceFailure> => {
      const defect = Cause.findDefect(cause)
      const failure = Result.isSuccess(defect) ? failureOf(defect.success) : undefined
      return failure === undefined ? Effect.failCause(cause) : Effect.fail(failure)
    })
  )
