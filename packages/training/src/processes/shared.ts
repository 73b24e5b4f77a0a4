import { Processes } from "@plumbline/runtime"
import { Effect } from "effect"
import { inOrder, ownersOf } from "./own-share.ts"

/**
 * The results of work that takes time of its own, such as generation: every process does its share of the items, which count
 * alike, and has all results then, in the items' order. Plain data and typed arrays.
 *
 * @param work of some of the items, in their order
 */
export const shared = <I, A, E, R>(
  items: ReadonlyArray<I>,
  work: (own: ReadonlyArray<I>) => Effect.Effect<ReadonlyArray<A>, E, R>
): Effect.Effect<ReadonlyArray<A>, E, R> =>
  Effect.gen(function* () {
    const { exchange, rank, size } = yield* Processes
    if (size === 1) return yield* work(items)
    const owners = ownersOf(
      items.map(() => ({ tokens: 1 })),
      size
    )
    const own = items.filter((_, i) => owners[i] === rank)
    return inOrder(owners, exchange(own.length === 0 ? [] : yield* work(own)))
  })

/** What the first process alone computes, and all are given: where its parts depend on one another. Plain data. */
export const fromFirst = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const { exchange, rank, size } = yield* Processes
    if (size === 1) return yield* effect
    return exchange(rank === 0 ? yield* effect : undefined)[0]!
  })
