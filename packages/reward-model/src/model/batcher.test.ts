import { assert, describe, it } from "@effect/vitest"
import { createScalarModel } from "@plumbline/models"
import { tinyTable } from "@plumbline/models/testing"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Deferred, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { batcher } from "./batcher.ts"
import { scoreRows } from "./score-rows.ts"
import { scorer } from "./scorer.ts"

/** Everybody has done what there is to do at this time. */
const settled = Effect.repeat(Effect.yieldNow, { times: 200 })

describe("batcher", () => {
  /** Doubles numbers, and keeps what each batch held. */
  const doubling = (budget: number, delay: number, before: Effect.Effect<void> = Effect.void) => {
    const batches: Array<ReadonlyArray<number>> = []
    const made = batcher({
      sizeOf: (item: number) => item,
      budget,
      delay,
      parallel: 1,
      run: (items: ReadonlyArray<number>) =>
        Effect.andThen(
          Effect.sync(() => void batches.push(items)),
          Effect.as(
            before,
            items.map((item) => 2 * item)
          )
        )
    })
    return Effect.map(made, (one) => ({ ...one, batches }))
  }

  it.effect("starts a batch when it is full, or its first item has waited long enough", () =>
    Effect.gen(function* () {
      const { batches, submit } = yield* doubling(10, 5)
      const all = yield* Effect.forkChild(Effect.forEach([4, 4, 4, 10, 20, 1], submit, { concurrency: "unbounded" }))
      yield* settled
      yield* TestClock.adjust(4)
      // 4 + 4 has no room for 4 and goes; 4 has none for 10; 10 is full; 20 goes alone; 1 waits
      assert.deepStrictEqual(batches, [[4, 4], [4], [10], [20]])
      yield* TestClock.adjust(2)
      assert.deepStrictEqual(batches.at(-1), [1])
      assert.deepStrictEqual(yield* Fiber.join(all), [8, 8, 8, 20, 40, 2])
    })
  )

  it.effect("gathers whoever comes while a batch runs", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { batches, submit, waiting } = yield* doubling(100, 1, Deferred.await(gate))
      const first = yield* Effect.forkChild(submit(1))
      yield* TestClock.adjust(5)
      const others = yield* Effect.forkChild(Effect.forEach([2, 3, 4], submit, { concurrency: "unbounded" }))
      yield* TestClock.adjust(50)
      assert.deepStrictEqual([batches, waiting()], [[[1]], 3])
      yield* Deferred.succeed(gate, undefined)
      yield* TestClock.adjust(5)
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(others)], [2, [4, 6, 8]])
      assert.deepStrictEqual([batches, waiting()], [[[1], [2, 3, 4]], 0])
    })
  )

  it.effect("leaves out who is gone, and fails those of a broken batch alone", () =>
    Effect.gen(function* () {
      const seen: Array<ReadonlyArray<number>> = []
      const { submit } = yield* batcher({
        sizeOf: () => 1,
        budget: 2,
        delay: 5,
        parallel: 1,
        run: (items: ReadonlyArray<number>) => {
          seen.push(items)
          return items.includes(13) ? Effect.fail("unlucky") : Effect.succeed(items)
        }
      })
      const gone = yield* Effect.forkChild(submit(1))
      yield* TestClock.adjust(1)
      yield* Fiber.interrupt(gone)
      const two = yield* Effect.forkChild(Effect.exit(submit(13)))
      yield* TestClock.adjust(10)
      const three = yield* Effect.forkChild(submit(7))
      yield* TestClock.adjust(10)
      assert.deepStrictEqual(yield* Fiber.join(two), Exit.fail("unlucky"))
      assert.deepStrictEqual(yield* Fiber.join(three), 7)
      assert.deepStrictEqual(seen, [[13], [7]])
    })
  )
})

describe("scorer", () => {
  it.live("gives many callers at once the scores and values of their own rows", () =>
    Effect.gen(function* () {
      const model = createScalarModel(tinyTable, { attributes: ["a", "b"], pooling: "last" }, 2)
      const rows = Array.from({ length: 40 }, (_, i) =>
        Int32Array.from({ length: 1 + (i % 7) }, (_, t) => (3 * i + t) % 32)
      )
      const { scores, values, waiting } = yield* scorer(model, { batchTokens: 30, batchDelay: 1 })
      const expected = yield* scoreRows(model, rows)
      const found = yield* Effect.forEach(rows, scores, { concurrency: "unbounded" })
      const ofTokens = yield* Effect.forEach(rows, values, { concurrency: "unbounded" })
      found.forEach((row, i) => row.forEach((value, k) => assert.closeTo(value, expected[i]![k]!, 1e-5)))
      ofTokens.forEach((row, i) => {
        assert.strictEqual(row.length, 2 * rows[i]!.length)
        // the last token's values are the row's scores
        row.slice(-2).forEach((value, k) => assert.closeTo(value, expected[i]![k]!, 1e-5))
      })
      assert.strictEqual(waiting(), 0)
      const before = tf.memory().numTensors
      yield* Effect.forEach(rows, scores, { concurrency: "unbounded" })
      assert.strictEqual(tf.memory().numTensors, before)
      model.dispose()
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )
})
