import { RunStore } from "@plumbline/store"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { SinkFailed } from "./metric-sink.ts"
import { sqliteSink } from "./sqlite-sink.ts"

const run = {
  id: "/runs/a",
  name: "a",
  algorithm: "sft",
  folder: "/runs/a",
  config: {},
  startedAt: "2026-01-01T00:00:00Z"
}

describe("sqliteSink", () => {
  it.effect("writes to the run's rows and truncates them", () =>
    Effect.gen(function* () {
      const store = yield* RunStore
      yield* store.register(run)
      const sink = yield* sqliteSink(run.id)
      yield* sink.write(1, { loss: 0.1 + 0.2 })
      yield* sink.write(2, { loss: 0.2 })
      yield* sink.truncate(1)
      assert.deepStrictEqual(yield* store.metrics(run.id), [{ step: 1, metrics: { loss: 0.1 + 0.2 } }])
    }).pipe(Effect.provide(RunStore.layerTest))
  )

  it.effect("passes on the store's reason", () =>
    Effect.gen(function* () {
      const store = yield* RunStore
      const orphan = yield* Effect.flip((yield* sqliteSink("/runs/none")).write(1, { loss: 1 }))
      assert.instanceOf(orphan, SinkFailed)
      assert.strictEqual(orphan.reason, 'no run "/runs/none": the store holds no runs')
      yield* store.register(run)
      const broken = yield* Effect.flip((yield* sqliteSink(run.id)).write(1, { loss: Number.NaN }))
      assert.include(broken.reason, 'metric "loss" of step 1 is NaN')
    }).pipe(Effect.provide(RunStore.layerTest))
  )
})
