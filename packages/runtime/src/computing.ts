import { Cause, Effect, Result } from "effect"
import { type DeviceFailure, OutOfMemory } from "./device-failure.ts"
import { ModelRuntime } from "./model-runtime.ts"

/**
 * Makes typed failures of what the device does to `effect`, and of arrays that the host has no room for: tensors are
 * computed in synchronous code, which can only throw. Whatever else it throws stays a defect.
 */
export const computing = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DeviceFailure, R | ModelRuntime> =>
  Effect.flatMap(ModelRuntime, ({ failureOf }) =>
    Effect.catchCause(effect, (cause): Effect.Effect<never, E | DeviceFailure> => {
      const defect = Cause.findDefect(cause)
      const failure = Result.isSuccess(defect) ? (failureOf(defect.success) ?? hostFailure(defect.success)) : undefined
      return failure === undefined ? Effect.failCause(cause) : Effect.fail(failure)
    })
  )

/** How V8 refuses an array: its number of elements where no array has that many, else nothing. */
const NO_ARRAY = /^(?:Array buffer allocation failed|Invalid (?:typed array|array buffer) length(?:: (\d+))?)$/

const hostFailure = (cause: unknown): OutOfMemory | undefined => {
  const refused = cause instanceof RangeError ? NO_ARRAY.exec(cause.message) : null
  if (refused === null) return undefined
  const shapes = refused[1] === undefined ? "" : `${refused[1]} numbers`
  return new OutOfMemory({ operator: "the host's memory", shapes, bytesAsked: null, bytesFree: null })
}
