import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { jsonlSink, metricsLine } from "./jsonl-sink.ts"
import { SinkFailed } from "./metric-sink.ts"
import { appendWhole, attemptFile } from "./sink-file.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-sinks-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const inFolder = <A, E>(body: (folder: string, file: string) => Effect.Effect<A, E>) =>
  Effect.scoped(Effect.flatMap(temporaryFolder, (folder) => body(folder, join(folder, "metrics.jsonl"))))

const writing = (file: string, steps: ReadonlyArray<number>) =>
  Effect.scoped(
    Effect.flatMap(jsonlSink(file), (sink) =>
      Effect.forEach(steps, (step) => sink.write(step, { loss: 1 / step }), { discard: true })
    )
  )

const stepsIn = (file: string) =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { step: number }).step)

describe("metricsLine", () => {
  it("puts the step first, also before names that JSON.stringify would sort ahead of it", () => {
    assert.strictEqual(metricsLine("f", 3, { loss: 0.5, "0": 1, 'a"b': 2 }), '{"step":3,"0":1,"loss":0.5,"a\\"b":2}\n')
  })

  it("prints numbers that read back as the same float64", () => {
    const numbers = [0.1 + 0.2, 1 / 3, 5e-324, Number.MAX_VALUE, -0, 2 ** 53, 1e21, 6.02e-7]
    const line = metricsLine("f", 1, Object.fromEntries(numbers.map((value, index) => [`m${index}`, value])))
    const { step, ...read } = JSON.parse(line) as Record<string, number>
    assert.strictEqual(step, 1)
    assert.isTrue(Object.values(read).every((value, index) => Object.is(value, numbers[index])))
  })

  it("refuses what JSON cannot hold, and a second step", () => {
    assert.throws(() => metricsLine("f", 7, { kl: Number.NaN }), /metric "kl" of step 7 is NaN, which JSON cannot hold/)
    assert.throws(() => metricsLine("f", 7, { kl: -Infinity }), /is -Infinity/)
    assert.throws(() => metricsLine("f", 7, { step: 1 }), /called "step"/)
  })
})

describe("jsonlSink", () => {
  it.effect("appends a line a step, on the disk when write returns", () =>
    inFolder((_, file) =>
      Effect.scoped(
        Effect.gen(function* () {
          const sink = yield* jsonlSink(file)
          yield* sink.write(1, { loss: 0.5 })
          assert.strictEqual(readFileSync(file, "utf8"), '{"step":1,"loss":0.5}\n')
          const error = yield* Effect.flip(sink.write(2, { loss: Number.NaN }))
          assert.instanceOf(error, SinkFailed)
          yield* sink.write(2, { loss: 0.25 })
          assert.strictEqual(readFileSync(file, "utf8"), '{"step":1,"loss":0.5}\n{"step":2,"loss":0.25}\n')
        })
      )
    )
  )

  it.effect("goes on after an existing file and drops its torn last line", () =>
    inFolder((folder, file) =>
      Effect.gen(function* () {
        yield* writing(file, [1, 2])
        const whole = readFileSync(file, "utf8")
        appendFileSync(file, '{"step":3,"loss":0.3')
        yield* writing(file, [])
        assert.strictEqual(readFileSync(file, "utf8"), whole)
        yield* writing(file, [3])
        assert.deepStrictEqual(stepsIn(file), [1, 2, 3])
        assert.deepStrictEqual(readdirSync(folder), ["metrics.jsonl"])
      })
    )
  )

  it.effect("truncates after a step and writes on in the new file", () =>
    inFolder((_, file) =>
      Effect.scoped(
        Effect.gen(function* () {
          yield* writing(file, [1, 2, 3, 4])
          const sink = yield* jsonlSink(file)
          yield* sink.truncate(2)
          assert.deepStrictEqual(stepsIn(file), [1, 2])
          yield* sink.write(3, { loss: 9 })
          yield* sink.truncate(3)
          yield* sink.write(4, { loss: 8 })
          assert.deepStrictEqual(stepsIn(file), [1, 2, 3, 4])
          yield* sink.truncate(0)
          assert.strictEqual(readFileSync(file, "utf8"), "")
        })
      )
    )
  )

  it.effect("names the line that is not a step, and leaves the file as it was", () =>
    inFolder((_, file) =>
      Effect.gen(function* () {
        for (const bad of ["loss: 3", "null", '{"loss":1}', '{"step":"1"}']) {
          const text = `{"step":1}\n${bad}\n`
          writeFileSync(file, text)
          const error = yield* Effect.flip(writing(file, [2]))
          assert.strictEqual(error.reason, 'line 2 is not a JSON object with a number "step"')
          assert.strictEqual(error.file, file)
          assert.strictEqual(readFileSync(file, "utf8"), text)
        }
      })
    )
  )

  it.effect("says why a file cannot be opened", () =>
    inFolder((folder, file) =>
      Effect.gen(function* () {
        writeFileSync(file, "")
        const under = yield* Effect.flip(writing(join(file, "metrics.jsonl"), []))
        assert.strictEqual(under.reason, "its folder is a file (ENOTDIR)")
        const absent = yield* Effect.flip(writing(join(folder, "absent", "metrics.jsonl"), []))
        assert.strictEqual(absent.reason, "its folder does not exist (ENOENT)")
        const folderItself = yield* Effect.flip(writing(folder, []))
        assert.strictEqual(folderItself.reason, "it is a folder (EISDIR)")
      })
    )
  )
})

describe("appendWhole", () => {
  // /dev/full answers every write with ENOSPC.
  it.effect.skipIf(!existsSync("/dev/full"))("reports a full disk", () =>
    Effect.gen(function* () {
      const descriptor = openSync("/dev/full", "a")
      const error = yield* Effect.flip(attemptFile("/dev/full", () => appendWhole(descriptor, Buffer.from("{}\n"))))
      closeSync(descriptor)
      assert.strictEqual(error.message, "metrics could not be written to /dev/full: the disk is full (ENOSPC)")
    })
  )

  it.effect("keeps a mistake of the code a defect", () =>
    Effect.gen(function* () {
      const mistake = attemptFile("f", () => {
        throw new TypeError("not a file matter")
      })
      const defect = yield* Effect.catchDefect(mistake, (error) => Effect.succeed(error))
      assert.instanceOf(defect, TypeError)
    })
  )
})
