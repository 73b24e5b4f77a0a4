import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { consoleSink } from "./console-sink.ts"
import type { PlainPacing, ProgressOutput } from "./display.ts"
import { liveLine } from "./progress-line.ts"
import { Progress, progressOutput } from "./progress.ts"

const recording = (live: boolean, columns = 120) => {
  const written: Array<string> = []
  const output: ProgressOutput = {
    write: (text) => void written.push(text),
    live,
    colour: false,
    columns: () => columns
  }
  return { written, output }
}

/** Runs `total` steps, one every `seconds`, through the console sink. */
const runSteps = (output: ProgressOutput, total: number, seconds: number, done: number, pacing?: PlainPacing) =>
  Effect.gen(function* () {
    const sink = yield* consoleSink({ label: "sft", total })
    for (let step = 1; step <= done; step++) {
      yield* TestClock.adjust(seconds * 1000)
      yield* sink.write(step, { loss: 1 / step })
    }
  }).pipe(Effect.scoped, Effect.provide(Progress.layerTo(output, pacing)))

const stepOf = (line: string) => Number(/(\d+)\//.exec(line)![1])

describe("where the output is no terminal", () => {
  it.effect("prints the first step, then one line every ten seconds, and the last step", () =>
    Effect.gen(function* () {
      const { written, output } = recording(false)
      yield* runSteps(output, 16, 3, 16)
      // Steps end at 3, 6, 9 … 48 s; the first line at 3 s, the next ten seconds on at 15, 27, 39 s.
      assert.deepStrictEqual(written.map(stepOf), [1, 5, 9, 13, 16])
      assert.strictEqual(written[0], "sft step 1/16 (6%)  loss 1  elapsed 3s  eta 45s\n")
      assert.strictEqual(written.at(-1), "sft step 16/16 (100%)  loss 0.06250  elapsed 48s  eta 0s\n")
    })
  )

  it.effect("prints every so many steps when told to", () =>
    Effect.gen(function* () {
      const { written, output } = recording(false)
      yield* runSteps(output, 10, 100, 10, { everySteps: 4 })
      assert.deepStrictEqual(written.map(stepOf), [1, 5, 9, 10])
    })
  )

  it.effect("prints the last step when it is done, not when the run has closed", () =>
    Effect.gen(function* () {
      const { written, output } = recording(false)
      yield* Effect.gen(function* () {
        const task = yield* (yield* Progress).begin({ label: "sft", total: 2 })
        yield* task.advance(1, {})
        yield* task.advance(2, {})
        assert.deepStrictEqual(written.map(stepOf), [1, 2])
      }).pipe(Effect.scoped, Effect.provide(Progress.layerTo(output)))
      assert.strictEqual(written.length, 2)
    })
  )

  it.effect("prints the last step of a run that ended early, once", () =>
    Effect.gen(function* () {
      const { written, output } = recording(false)
      yield* runSteps(output, 100, 1, 7)
      assert.deepStrictEqual(written.map(stepOf), [1, 7])
    })
  )

  it.effect("counts a resumed run's time from where it resumed", () =>
    Effect.gen(function* () {
      const { written, output } = recording(false)
      yield* Effect.gen(function* () {
        const sink = yield* consoleSink({ label: "dpo", total: 100, highlights: ["rewards/accuracies"] })
        yield* TestClock.adjust("1 hour")
        yield* sink.truncate(90)
        yield* TestClock.adjust("2 seconds")
        yield* sink.write(91, {
          learning_rate: 1e-4,
          loss: Math.LN2,
          "rewards/accuracies": 0.75,
          "rewards/chosen": 3,
          tokens_per_second: 48_000
        })
      }).pipe(Effect.scoped, Effect.provide(Progress.layerTo(output)))
      assert.deepStrictEqual(written, [
        "dpo step 91/100 (91%)  loss 0.6931  rewards/accuracies 0.7500  lr 1.00e-4  48.0k tok/s  elapsed 2s  eta 18s\n"
      ])
    })
  )
})

describe("on a terminal", () => {
  it.effect("draws one line over itself, at most ten times a second, and leaves the last state", () =>
    Effect.gen(function* () {
      const { written, output } = recording(true)
      yield* runSteps(output, 20, 0.03, 20)
      const drawn = written.slice(0, -1)
      assert.isTrue(drawn.every((text) => text.startsWith("\r\u001b[2Ksft ") && !text.includes("\n")))
      // Steps end every 30 ms: the first is drawn, then each fourth (120 ms later); the end draws step 20.
      assert.deepStrictEqual(drawn.map(stepOf), [1, 5, 9, 13, 17, 20])
      assert.strictEqual(written.at(-1), "\n")
    })
  )

  it.effect("writes a note above the live line", () =>
    Effect.gen(function* () {
      const { written, output } = recording(true)
      yield* Effect.gen(function* () {
        const progress = yield* Progress
        yield* progress.note("before")
        const task = yield* progress.begin({ label: "sft", total: 2 })
        yield* task.advance(1, {})
        yield* progress.note("saved step 1")
      }).pipe(Effect.scoped, Effect.provide(Progress.layerTo(output)))
      const line = written[1]!.replace("\r\u001b[2K", "")
      assert.deepStrictEqual(written.slice(0, 3), ["before\n", written[1], `\r\u001b[2Ksaved step 1\n${line}`])
    })
  )

  it("keeps the line in the terminal's width: no bar where there is little room, and the text is cut", () => {
    const snapshot = {
      label: "sft",
      step: 120,
      total: 400,
      elapsedSeconds: 32,
      secondsLeft: 65,
      metrics: { loss: Math.LN2 },
      highlights: []
    }
    // At 80 columns the bar has an eighth, 10; three tenths of it are 3 whole columns.
    assert.strictEqual(liveLine(snapshot, 80, false), "sft ▕███       ▏ 120/400  30%  eta 1m05s  loss 0.6931")
    assert.strictEqual(liveLine(snapshot, 63, false), "sft 120/400  30%  eta 1m05s  loss 0.6931")
    assert.strictEqual(liveLine(snapshot, 20, false), "sft 120/400  30%  e…")
    assert.include(liveLine({ ...snapshot, step: 5 }, 63, false), "sft   5/400   1%  ")
    for (let width = 0; width <= 100; width++) assert.isAtMost([...liveLine(snapshot, width, false)].length, width)
    assert.include(liveLine(snapshot, 80, true), "\u001b[1msft\u001b[0m ")
  })
})

const kind = (output: ProgressOutput) => [output.live, output.colour]

describe("progressOutput", () => {
  const stream = { isTTY: true, columns: 100, write: () => true }

  it("is live and coloured on a terminal only, and plain on a dumb one", () => {
    assert.deepStrictEqual(kind(progressOutput(stream, {})), [true, true])
    assert.deepStrictEqual(kind(progressOutput(stream, { NO_COLOR: "1" })), [true, false])
    assert.deepStrictEqual(kind(progressOutput(stream, { NO_COLOR: "" })), [true, true])
    assert.deepStrictEqual(kind(progressOutput(stream, { TERM: "dumb" })), [false, false])
    assert.deepStrictEqual(kind(progressOutput({ write: () => true }, {})), [false, false])
  })

  it("asks for the width each time, and assumes 80 columns where there is none", () => {
    assert.strictEqual(progressOutput(stream, {}).columns(), 100)
    assert.strictEqual(progressOutput({ write: () => true }, {}).columns(), 80)
    assert.strictEqual(progressOutput({ ...stream, columns: 0 }, {}).columns(), 80)
  })
})
