import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Latch } from "effect"
import { makePlaces } from "./places.ts"

/** Work that says when it has its place and ends when it is told to. */
const trial = (count: number) => {
  const places = makePlaces(count)
  const begun: Array<string> = []
  const start = Effect.fnUntraced(function* (caller: string, name = caller) {
    const end = yield* Latch.make()
    const fiber = yield* Effect.forkChild(
      places.hold(caller)(
        Effect.andThen(
          Effect.sync(() => begun.push(name)),
          end.await
        )
      ),
      { startImmediately: true }
    )
    return { end: Effect.andThen(end.open, Fiber.join(fiber)), cancel: Fiber.interrupt(fiber) }
  })
  return { begun, start }
}

describe("places", () => {
  it.effect("go to the caller that has the fewest, to its requests in their order", () =>
    Effect.gen(function* () {
      const { begun, start } = trial(2)
      const first = yield* start("a", "a1")
      yield* start("a", "a2")
      for (const name of ["a3", "a4"]) yield* start("a", name)
      for (const name of ["b1", "b2"]) yield* start("b", name)
      expect(begun).toEqual(["a1", "a2"])
      yield* first.end
      // b has none, a has one
      expect(begun).toEqual(["a1", "a2", "b1"])
    })
  )

  it.effect("are kept in part for callers that have none", () =>
    Effect.gen(function* () {
      const { begun, start } = trial(16)
      for (let i = 0; i < 20; i++) yield* start("a")
      expect(begun.length).toBe(14)
      yield* start("b")
      yield* start("c")
      yield* start("d")
      expect(begun.slice(14)).toEqual(["b", "c"])
    })
  )

  it.effect("are free again after work that was interrupted, waiting or not", () =>
    Effect.gen(function* () {
      const { begun, start } = trial(1)
      const first = yield* start("a", "a1")
      const second = yield* start("b", "b1")
      yield* start("c", "c1")
      yield* second.cancel
      yield* first.cancel
      expect(begun).toEqual(["a1", "c1"])
    })
  )

  it.effect("pass through thousands that wait and have nothing to do", () =>
    Effect.gen(function* () {
      const places = makePlaces(1)
      let done = 0
      const all = Array.from({ length: 20_000 }, () => places.hold("a")(Effect.sync(() => done++)))
      yield* places
        .hold("a")(Effect.forkChild(Effect.all(all, { concurrency: "unbounded", discard: true })))
        .pipe(Effect.flatMap(Fiber.join))
      expect(done).toBe(20_000)
    })
  )
})
