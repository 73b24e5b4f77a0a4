import { Processes } from "@plumbline/runtime"
import { Effect } from "effect"
import { dealt } from "./own-share.ts"

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
    const processes = yield* Processes
    const { ordered, own } = dealt(
      items.map((item) => ({ item, tokens: 1 })),
      processes
    )
    return ordered(processes.exchange(own.length === 0 ? [] : yield* work(own.map(({ item }) => item))))
  })

/**
 * What the first process alone does, such as writing, or computing what depends on all parts of a batch. The others wait until
 * it is done, and are given the same; where it fails, so do they. Plain data.
 */
export const fromFirst = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const { exchange, rank } = yield* Processes
    return exchange(rank === 0 ? yield* effect : undefined)[0] as A
  })
