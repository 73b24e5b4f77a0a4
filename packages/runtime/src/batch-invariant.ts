import { Effect, type Scope } from "effect"
import { BatchInvarianceUnavailable } from "./device-failure.ts"
import { ModelRuntime } from "./model-runtime.ts"

/** Kernels that give a token the same bits whatever is computed beside it, or those that need not. */
export interface BatchInvariance {
  /** @returns why they cannot be had */
  readonly turn: (on: boolean) => string | undefined
}

const TAKEN =
  "kernels: batch-invariant, so that sampler and trainer agree; --batch-invariant false takes faster ones that do not"

/**
 * Takes batch-invariant kernels until the scope ends, where that is left to the work and they can be had for what `trial`
 * computes: work whose sampler and trainer must agree on a token asks for them.
 *
 * @returns what is to be said of it; nothing where it is not left to the work
 */
export const batchInvariantFor = (
  trial: () => void
): Effect.Effect<string | undefined, never, ModelRuntime | Scope.Scope> =>
  Effect.flatMap(ModelRuntime, ({ batchInvariance, failureOf }) => {
    if (batchInvariance === undefined) return Effect.succeed(undefined)
    const { turn } = batchInvariance
    const start = Effect.sync(() => {
      const missing = turn(true) ?? attempt(trial, failureOf)
      if (missing === undefined) return TAKEN
      turn(false)
      return `kernels: not batch-invariant, sampler and trainer differ by rounding: ${missing}`
    })
    const stop = Effect.sync(() => void turn(false))
    return Effect.acquireRelease(
      Effect.onError(start, () => stop),
      () => stop
    )
  })

const attempt = (trial: () => void, failureOf: (cause: unknown) => unknown): string | undefined => {
  try {
    trial()
    return undefined
  } catch (cause) {
    const failure = failureOf(cause)
    if (failure instanceof BatchInvarianceUnavailable) return failure.reason
    throw cause
  }
}
