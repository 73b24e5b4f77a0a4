import { Effect } from "effect"

export interface FillOptions<G, E, R> {
  /** Groups that a rollout is to have. */
  readonly wanted: number
  /** Prompts that there are for it, those that replace others included. */
  readonly most: number
  /** Whether groups are made all together, in their order, or each for itself at the same time. */
  readonly together: boolean
  readonly make: (places: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<G>, E, R>
  /** Whether something can be learnt from it; where not, the next prompt takes its place. */
  readonly teaches: (group: G) => boolean
}

/** Groups of a rollout, in the order of their places. */
export interface Filled<G> {
  readonly kept: ReadonlyArray<G>
  /** Those that nothing can be learnt from. */
  readonly aside: ReadonlyArray<G>
}

/**
 * Makes groups from the first place on until enough of them teach something, or there is none left. Each that does not
 * calls for one more, so that no group is made in vain, and which are made does not depend on what is finished first.
 */
export const fill = <G, E, R>({
  make,
  most,
  teaches,
  together,
  wanted
}: FillOptions<G, E, R>): Effect.Effect<Filled<G>, E, R> =>
  Effect.gen(function* () {
    const made: Array<G> = []
    let next = 0
    const some = Effect.fnUntraced(function* (count: number) {
      for (let missing = count; missing > 0 && next < most;) {
        const places = Array.from({ length: Math.min(missing, most - next) }, (_, i) => next + i)
        next += places.length
        const groups = yield* make(places)
        groups.forEach((group, i) => (made[places[i]!] = group))
        missing -= groups.filter(teaches).length
      }
    })
    const parts = together ? [wanted] : Array.from({ length: wanted }, () => 1)
    yield* Effect.forEach(parts, some, { concurrency: "unbounded", discard: true })
    return { kept: made.filter(teaches), aside: made.filter((group) => !teaches(group)) }
  })
