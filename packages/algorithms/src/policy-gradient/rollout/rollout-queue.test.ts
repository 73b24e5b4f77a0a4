import { it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import { describe, expect } from "vitest"
import { type RolloutOrder, rolloutQueue, type RolloutQueueOptions } from "./rollout-queue.ts"
import type { Rollout } from "./rollout.ts"

const rollout = (index: number): Rollout => ({ index, groups: [], aside: [], measured: {} })

/** A queue of three steps a rollout, one ahead, of five rollouts; and what was asked to be written. */
const queueOf = (options: Partial<RolloutQueueOptions<string, never>> = {}) =>
  Effect.gen(function* () {
    const orders: Array<RolloutOrder> = []
    const judged = Array.from({ length: 5 }, () => Deferred.makeUnsafe<Rollout, string>())
    const queue = yield* rolloutQueue<string, never>({
      staleness: 1,
      steps: 3,
      end: 15,
      inTurns: false,
      whole: [],
      write: (order) =>
        Effect.suspend(() => {
          orders.push(order)
          return Deferred.await(judged[order.index]!)
        }),
      ...options
    })
    const judge = (index: number) => Deferred.succeed(judged[index]!, rollout(index))
    return { queue, orders, judged, judge, begun: () => orders.map(({ index }) => index) }
  })

describe("a queue of rollouts", () => {
  it.effect("begins a rollout when the first step on the one before is made, and no earlier", () =>
    Effect.gen(function* () {
      const { begun, judge, orders, queue } = yield* queueOf()
      yield* judge(0)
      expect((yield* queue.take(0)).index).toBe(0)
      expect(begun()).toEqual([0, 1])
      for (const step of [1, 2]) yield* queue.goOn(step)
      expect(begun()).toEqual([0, 1])
      yield* judge(1)
      yield* queue.take(1)
      expect(begun()).toEqual([0, 1, 2])
      // what is begun at its time has no version to spare; the very first may be of any version there was
      expect(orders.map(({ slack }) => slack)).toEqual([3, 0, 0])
    })
  )

  it.effect("writes nothing that no step will be made on", () =>
    Effect.gen(function* () {
      const { begun, judge, queue } = yield* queueOf({ end: 4, staleness: 3 })
      yield* judge(0)
      yield* queue.take(0)
      expect(begun()).toEqual([0, 1])
    })
  )

  it.effect("lets steps wait until responses are written where the device is the same, not for rewards", () =>
    Effect.gen(function* () {
      const { judge, orders, queue } = yield* queueOf({ inTurns: true })
      yield* judge(0)
      let taken = false
      yield* Effect.forkChild(
        Effect.tap(queue.take(0), () => Effect.sync(() => (taken = true))),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      expect(taken).toBe(false)
      yield* orders[1]!.written
      for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
      expect(taken).toBe(true)
    })
  )

  it.effect("begins again in the middle of a rollout, with versions to spare for what was written since its time", () =>
    Effect.gen(function* () {
      const { orders, queue } = yield* queueOf({ staleness: 2, whole: [rollout(2)] })
      yield* queue.goOn(4)
      expect(orders.map(({ index, slack }) => [index, slack])).toEqual([[3, 1]])
      expect(yield* queue.ahead).toEqual([rollout(2)])
      expect(yield* queue.take(2)).toEqual(rollout(2))
    })
  )

  it.effect("gives a checkpoint what is written, and waits for its rewards", () =>
    Effect.gen(function* () {
      const { judge, orders, queue } = yield* queueOf({ staleness: 2 })
      yield* judge(0)
      yield* queue.take(0)
      expect(yield* queue.ahead).toEqual([])
      yield* orders[1]!.written
      const ahead = yield* Effect.forkChild(queue.ahead, { startImmediately: true })
      yield* Effect.yieldNow
      expect(ahead.pollUnsafe()).toBeUndefined()
      yield* judge(1)
      for (let turn = 0; turn < 5; turn++) yield* Effect.yieldNow
      expect(ahead.pollUnsafe()).toMatchObject({ value: [rollout(1)] })
    })
  )

  it.effect("fails at the next step where one ahead failed, with its reason", () =>
    Effect.gen(function* () {
      const { judge, judged, queue } = yield* queueOf({ inTurns: true })
      yield* judge(0)
      yield* Deferred.fail(judged[1]!, "the generator died")
      expect(yield* Effect.flip(queue.take(0))).toBe("the generator died")
    })
  )

  it.effect("ends what is being written with its scope", () =>
    Effect.gen(function* () {
      let ended = false
      const write = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => (ended = true)))
      yield* Effect.scoped(Effect.flatMap(queueOf({ write }), ({ queue }) => queue.goOn(1)))
      expect(ended).toBe(true)
    })
  )
})
