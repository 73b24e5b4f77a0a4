import { Effect } from "effect"

/** A bounded number of places, which callers hold while they work. */
export interface Places {
  /** Does the work on a place, after waiting for one. */
  readonly hold: (caller: unknown) => <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Part of the places that only callers without one get, so that nobody waits for all that another asks for. */
const KEPT = 1 / 8

/** A place that is free goes to the caller that has the fewest, and to the requests of one in the order they came. */
export const makePlaces = (count: number): Places => {
  const kept = Math.floor(count * KEPT)
  const held = new Map<unknown, number>()
  const waiting = new Map<unknown, Set<() => void>>()
  let free = count
  const has = (caller: unknown): number => held.get(caller) ?? 0
  const isOpen = (caller: unknown): boolean => free > (has(caller) > 0 ? kept : 0)
  const give = (caller: unknown): void => {
    free -= 1
    held.set(caller, has(caller) + 1)
  }
  const leave = (caller: unknown, ready: () => void): void => {
    const queue = waiting.get(caller)
    queue?.delete(ready)
    if (queue?.size === 0) waiting.delete(caller)
  }
  /** Of those with the fewest places whoever waits longest. */
  const next = (): unknown => {
    let [found, fewest] = [undefined as unknown, Infinity]
    for (const caller of waiting.keys()) if (has(caller) < fewest) [found, fewest] = [caller, has(caller)]
    return found
  }
  let handing = false
  /** Who gets a place goes on at once, and may be done with it before the next one is handed out. */
  const handOut = (): void => {
    if (handing) return
    handing = true
    while (waiting.size > 0) {
      const caller = next()
      if (!isOpen(caller)) break
      const [ready] = waiting.get(caller)!
      leave(caller, ready!)
      give(caller)
      ready!()
    }
    handing = false
  }
  const take = (caller: unknown) =>
    Effect.callback<void>((resume) => {
      // who waits already goes first
      if (isOpen(caller) && !waiting.has(caller)) {
        give(caller)
        return resume(Effect.void)
      }
      const ready = () => resume(Effect.void)
      waiting.set(caller, (waiting.get(caller) ?? new Set()).add(ready))
      return Effect.sync(() => leave(caller, ready))
    })
  const release = (caller: unknown) =>
    Effect.sync(() => {
      free += 1
      if (has(caller) === 1) held.delete(caller)
      else held.set(caller, has(caller) - 1)
      handOut()
    })
  return {
    hold: (caller) => (work) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore(take(caller)), () => Effect.ensuring(restore(work), release(caller)))
      )
  }
}
