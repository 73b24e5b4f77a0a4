import { Deferred, Effect, Exit, Fiber, type Scope } from "effect"
import type { Rollout } from "./rollout.ts"

export interface RolloutQueueOptions<E, R> {
  /** Rollouts that are written while steps are made on an earlier one, at most; 0 writes each when its turn has come. */
  readonly staleness: number
  /** Optimizer steps on a rollout. */
  readonly steps: number
  /** The last step of the run: no rollout is written for later ones. */
  readonly end: number
  /** Whether no step is made while responses are written. */
  readonly inTurns: boolean
  readonly write: (order: RolloutOrder) => Effect.Effect<Rollout, E, R>
  /** Rollouts that are there already. */
  readonly whole: ReadonlyArray<Rollout>
}

/** A rollout to write. */
export interface RolloutOrder {
  readonly index: number
  /** Versions by which weights may be older than those of now for its tokens to be within the bound at its first step. */
  readonly slack: number
  /** To be told once its responses are written and nothing but their rewards is to come. */
  readonly written: Effect.Effect<unknown>
}

/**
 * Rollouts in their order, of which a bounded number is written ahead. Rollout k is begun when the first step on rollout
 * k − staleness is about to be made and no earlier, so none of its tokens is older, at its first step, than
 * `staleness · steps` versions. A generator that computes elsewhere writes while steps are made; with one that computes on
 * the same device, steps wait for it and overlap with rewards alone, so that each rollout has the weights of one version.
 */
export interface RolloutQueue<E, R> {
  /** Before every other step: begins what may be written by now, and fails where what is being written failed. */
  readonly goOn: (step: number) => Effect.Effect<void, E, R>
  /** Before the first step on a rollout: the same, and waits for it. */
  readonly take: (index: number) => Effect.Effect<Rollout, E, R>
  /** Those written ahead, for a checkpoint: rewards that are still to come are waited for, responses are not. */
  readonly ahead: Effect.Effect<ReadonlyArray<Rollout>, E>
}

interface Begun<E> {
  readonly written: Deferred.Deferred<void>
  readonly fiber: Fiber.Fiber<Rollout, E>
}

/** Lives as long as the scope, which ends what is being written. */
export const rolloutQueue = <E, R>(
  options: RolloutQueueOptions<E, R>
): Effect.Effect<RolloutQueue<E, R>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { inTurns, staleness, steps, whole } = options
    const scope = yield* Effect.scope
    const last = Math.ceil(options.end / steps) - 1
    const begun = new Map<number, Begun<E>>()
    const begin = Effect.fnUntraced(function* (index: number, slack: number) {
      const written = yield* Deferred.make<void>()
      const tell = Deferred.succeed(written, undefined)
      const there = whole.find((rollout) => rollout.index === index)
      const writing = there === undefined ? options.write({ index, slack, written: tell }) : Effect.succeed(there)
      // a rollout that failed is waited for no longer
      const fiber = yield* Effect.forkIn(Effect.ensuring(writing, tell), scope, { startImmediately: true })
      begun.set(index, { written, fiber })
    })
    const goOn = Effect.fnUntraced(function* (step: number) {
      const at = Math.floor(step / steps)
      const first = step % steps === 0 ? at : at + 1
      for (let index = first; index <= Math.min(at + staleness, last); index++) {
        if (!begun.has(index)) yield* begin(index, step - (index - staleness) * steps)
      }
      if (inTurns) for (const { written } of begun.values()) yield* Deferred.await(written)
      for (const { fiber } of begun.values()) {
        const exit = fiber.pollUnsafe()
        if (exit !== undefined && Exit.isFailure(exit)) return yield* Effect.failCause(exit.cause)
      }
    })
    return {
      goOn,
      take: Effect.fnUntraced(function* (index: number) {
        yield* goOn(index * steps)
        const { fiber } = begun.get(index)!
        const rollout = yield* Fiber.join(fiber)
        begun.delete(index)
        return rollout
      }),
      ahead: Effect.suspend(() => {
        const written = [...begun.values()].filter(({ written }) => Deferred.isDoneUnsafe(written))
        return Effect.forEach(written, ({ fiber }) => Fiber.join(fiber))
      })
    }
  })
