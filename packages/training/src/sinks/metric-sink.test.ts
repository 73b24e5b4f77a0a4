import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CollectedMetrics, collectInto, MetricSink, type MetricRow, SinkFailed } from "./metric-sink.ts"

describe("MetricSink", () => {
  it.effect("all: writes and truncates each sink in order, and stops at the first that fails", () =>
    Effect.gen(function* () {
      const [first, last]: [Array<MetricRow>, Array<MetricRow>] = [[], []]
      const both = MetricSink.all([collectInto(first), collectInto(last)])
      yield* both.write(1, { loss: 2 })
      yield* both.write(2, { loss: 1 })
      yield* both.truncate(1)
      assert.deepStrictEqual(first, [{ step: 1, metrics: { loss: 2 } }])
      assert.deepStrictEqual(last, first)

      const full = new SinkFailed({ file: "metrics.jsonl", reason: "the disk is full" })
      const failing = { write: () => Effect.fail(full), truncate: () => Effect.fail(full) }
      const withFailing = MetricSink.all([collectInto(first), failing, collectInto(last)])
      const error = yield* Effect.flip(withFailing.write(3, { loss: 0 }))
      assert.strictEqual(error.message, "metrics could not be written to metrics.jsonl: the disk is full")
      assert.deepStrictEqual([first.length, last.length], [2, 1])
    })
  )

  it.effect("layerTest collects what is written", () =>
    Effect.gen(function* () {
      const sink = yield* MetricSink
      yield* sink.write(1, { loss: 2 })
      yield* sink.write(2, { loss: 1 })
      yield* sink.truncate(1)
      yield* sink.write(2, { loss: 0.5 })
      assert.deepStrictEqual(
        (yield* CollectedMetrics).map(({ step, metrics }) => [step, metrics["loss"]]),
        [
          [1, 2],
          [2, 0.5]
        ]
      )
    }).pipe(Effect.provide(MetricSink.layerTest))
  )
})
