import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Context, Effect, Layer } from "effect"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { NotStorable, RunUnknown } from "./errors.ts"
import { RunStore } from "./run-store.ts"

const run = (name: string, startedAt = "2026-01-02T03:04:05.000Z") => ({
  id: `/runs/${name}`,
  name,
  algorithm: "dpo",
  folder: `/runs/${name}`,
  config: { beta: 0.1, model: { layers: [1, 2] } },
  startedAt
})

const inMemory = <A, E>(body: (store: RunStore["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(RunStore, body).pipe(Effect.provide(RunStore.layerTest))

const temporaryFile = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-store-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
).pipe(Effect.map((folder) => join(folder, "plumbline.db")))

const openStore = (file: string) =>
  Effect.map(Layer.build(Layer.fresh(RunStore.layerSqlite(file))), Context.get(RunStore))

describe("runs", () => {
  it.effect("keeps what was registered, then how it ended", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        const running = yield* store.find("a")
        assert.deepStrictEqual(running, {
          ...run("a"),
          status: "running",
          endedAt: null,
          error: null,
          lastStep: null,
          lastLoss: null
        })
        yield* TestClock.setTime(Date.UTC(2026, 0, 3))
        yield* store.finish("/runs/a", "failed", { tag: "NonFiniteStep", message: "loss is NaN" })
        const failed = yield* store.find("a")
        assert.strictEqual(failed.status, "failed")
        assert.strictEqual(failed.endedAt, "2026-01-03T00:00:00.000Z")
        assert.deepStrictEqual(failed.error, { tag: "NonFiniteStep", message: "loss is NaN" })
      })
    )
  )

  it.effect("registers a resumed run again: same start, same rows, running", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        yield* store.appendMetrics("/runs/a", 1, { loss: 2 })
        yield* store.finish("/runs/a", "stopped")
        yield* store.register({ ...run("a"), config: { beta: 0.2 } })
        const [only, ...others] = yield* store.runs()
        assert.deepStrictEqual(others, [])
        assert.strictEqual(only!.status, "running")
        assert.strictEqual(only!.endedAt, null)
        assert.strictEqual(only!.startedAt, "2026-01-02T03:04:05.000Z")
        assert.deepStrictEqual(only!.config, { beta: 0.2 })
        assert.strictEqual(only!.lastStep, 1)
      })
    )
  )

  it.effect("replaces a run that was started anew in the same folder", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        yield* store.appendMetrics("/runs/a", 1, { loss: 2 })
        yield* store.register(run("a", "2027-01-01T00:00:00.000Z"))
        const [only, ...others] = yield* store.runs()
        assert.deepStrictEqual(others, [])
        assert.strictEqual(only!.startedAt, "2027-01-01T00:00:00.000Z")
        assert.strictEqual(only!.lastStep, null)
        assert.deepStrictEqual(yield* store.metrics("/runs/a"), [])
      })
    )
  )

  it.effect("lists newest first with the last step and its loss", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        yield* store.register(run("b"))
        yield* store.register(run("c"))
        yield* store.appendMetrics("/runs/a", 9, { loss: 0.5, kl: 3 })
        yield* store.appendMetrics("/runs/a", 10, { loss: 0.25, kl: 4 })
        yield* store.appendMetrics("/runs/b", 3, { accuracy: 1 })
        const rows = (yield* store.runs()).map(({ name, lastStep, lastLoss }) => [name, lastStep, lastLoss])
        assert.deepStrictEqual(rows, [
          ["c", null, null],
          ["b", 3, null],
          ["a", 10, 0.25]
        ])
      })
    )
  )

  it.effect("finds by folder, relative folder and name, the newest of a name", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        yield* store.register({ ...run("a"), id: "/elsewhere/a", folder: "/elsewhere/a" })
        assert.strictEqual((yield* store.find("a")).id, "/elsewhere/a")
        assert.strictEqual((yield* store.find("/runs/a")).id, "/runs/a")
        assert.strictEqual((yield* store.find(relative(process.cwd(), "/runs/a"))).id, "/runs/a")
      })
    )
  )

  it.effect("suggests the nearest names for an unknown run", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        const empty = yield* Effect.flip(store.find("a"))
        assert.strictEqual(empty.message, 'no run "a": the store holds no runs')
        for (const name of ["sft-gsm8k", "dpo-gsm8k", "grpo-math", "rm-helpsteer"]) yield* store.register(run(name))
        const error = yield* Effect.flip(store.find("sft-gsm"))
        assert.instanceOf(error, RunUnknown)
        assert.deepStrictEqual(error.known, ["sft-gsm8k", "dpo-gsm8k", "grpo-math"])
        const orphan = yield* Effect.flip(store.appendMetrics("/runs/none", 1, { loss: 1 }))
        assert.instanceOf(orphan, RunUnknown)
      })
    )
  )
})

const stepsOf = (rows: ReadonlyArray<{ readonly step: number }>) => rows.map(({ step }) => step)

describe("metrics", () => {
  it.effect("returns exactly the numbers written, by step, by name", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        yield* store.appendMetrics("/runs/a", 10, { loss: 0.1 + 0.2, grad_norm: Number.MIN_VALUE })
        yield* store.appendMetrics("/runs/a", 2, { loss: -Number.MAX_VALUE, num_tokens: 2 ** 53 })
        yield* store.appendMetrics("/runs/a", 2, { accuracy: 1 / 3, loss: 7 })
        assert.deepStrictEqual(yield* store.metrics("/runs/a"), [
          { step: 2, metrics: { accuracy: 1 / 3, loss: 7, num_tokens: 2 ** 53 } },
          { step: 10, metrics: { grad_norm: Number.MIN_VALUE, loss: 0.1 + 0.2 } }
        ])
        assert.deepStrictEqual(yield* store.metrics("/runs/a", ["accuracy", "absent"]), [
          { step: 2, metrics: { accuracy: 1 / 3 } }
        ])
        assert.deepStrictEqual(yield* store.metrics("/runs/a", []), [])
      })
    )
  )

  it.effect("refuses NaN and infinity, and writes nothing of that step", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
          const error = yield* Effect.flip(store.appendMetrics("/runs/a", 3, { loss: 1, grad_norm: value }))
          assert.instanceOf(error, NotStorable)
          assert.strictEqual(
            error.message,
            `metric "grad_norm" of step 3 is ${value}; the store keeps finite numbers only`
          )
        }
        assert.deepStrictEqual(yield* store.metrics("/runs/a"), [])
      })
    )
  )

  it.effect("truncates metrics, samples and checkpoints after a step, of this run only", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        const sample = { prompt: "p", response: "r", label: "eval" }
        for (const name of ["a", "b"]) {
          yield* store.register(run(name))
          for (const step of [4, 5, 6]) {
            yield* store.appendMetrics(`/runs/${name}`, step, { loss: step })
            yield* store.appendSamples(`/runs/${name}`, step, [sample])
            yield* store.recordCheckpoint(`/runs/${name}`, { step, folder: `step-${step}` })
          }
        }
        yield* store.truncateMetrics("/runs/a", 4)
        for (const read of [store.metrics, store.samples, store.checkpoints]) {
          assert.deepStrictEqual(stepsOf(yield* read("/runs/a")), [4])
          assert.deepStrictEqual(stepsOf(yield* read("/runs/b")), [4, 5, 6])
        }
      })
    )
  )
})

describe("samples and checkpoints", () => {
  it.effect("returns samples in the order written, all or of one step", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        const first = { prompt: "2+2?", response: "4 ✓\n\u0000", label: "after", extra: { reward: 0.5, judge: "rule" } }
        const second = { prompt: "", response: "", label: "before" }
        yield* store.appendSamples("/runs/a", 2, [first, second])
        yield* store.appendSamples("/runs/a", 1, [second])
        assert.deepStrictEqual(yield* store.samples("/runs/a"), [
          { step: 1, ...second },
          { step: 2, ...first },
          { step: 2, ...second }
        ])
        assert.deepStrictEqual(yield* store.samples("/runs/a", 1), [{ step: 1, ...second }])
        const broken = { ...first, extra: { reward: Number.NaN } }
        const error = yield* Effect.flip(store.appendSamples("/runs/a", 3, [second, broken]))
        assert.include(error.message, '"reward" of a sample of step 3 is NaN')
        assert.deepStrictEqual(yield* store.samples("/runs/a", 3), [])
      })
    )
  )

  it.effect("records, replaces and removes checkpoints", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        yield* store.register(run("a"))
        const metric = { name: "eval_loss", value: 0.75 }
        yield* store.recordCheckpoint("/runs/a", { step: 20, folder: "step-20", metric })
        yield* store.recordCheckpoint("/runs/a", { step: 10, folder: "old" })
        yield* store.recordCheckpoint("/runs/a", { step: 10, folder: "step-10" })
        assert.deepStrictEqual(yield* store.checkpoints("/runs/a"), [
          { step: 10, folder: "step-10" },
          { step: 20, folder: "step-20", metric }
        ])
        yield* store.removeCheckpoint("/runs/a", 10)
        assert.deepStrictEqual(yield* store.checkpoints("/runs/a"), [{ step: 20, folder: "step-20", metric }])
      })
    )
  )
})

describe("cached log-probs", () => {
  it.effect("keeps float64 exactly, apart by model, in the order asked", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        const exact = -123.45678901234568 // 17 significant digits: a float32 would read back as −123.4567871
        yield* store.saveLogProbs(
          "w1",
          new Map([
            ["s1", exact],
            ["s2", -3],
            ["s3", -Number.MIN_VALUE]
          ])
        )
        yield* store.saveLogProbs("w2", new Map([["s1", -1]]))
        yield* store.saveLogProbs("w1", new Map([["s2", -4]]))
        const found = yield* store.logProbs("w1", ["s3", "absent", "s2", "s1"])
        assert.deepStrictEqual(
          [...found],
          [
            ["s3", -Number.MIN_VALUE],
            ["s2", -4],
            ["s1", exact]
          ]
        )
        assert.deepStrictEqual([...(yield* store.logProbs("w3", ["s1"]))], [])
      })
    )
  )

  it.effect("saves ten thousand at once and reads them back", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        const entries = new Map(Array.from({ length: 10_000 }, (_, i) => [`sequence-${i}`, -Math.sqrt(i + 1)]))
        yield* store.saveLogProbs("w", entries)
        assert.deepStrictEqual(yield* store.logProbs("w", [...entries.keys()]), entries)
      })
    )
  )

  it.effect("refuses a log-prob that is not finite, keeping none of the batch", () =>
    inMemory((store) =>
      Effect.gen(function* () {
        const entries = new Map([
          ["s1", -1],
          ["s2", Number.NEGATIVE_INFINITY]
        ])
        const error = yield* Effect.flip(store.saveLogProbs("w", entries))
        assert.include(error.message, "log-prob of sequence s2 is -Infinity")
        assert.strictEqual((yield* store.logProbs("w", ["s1"])).size, 0)
      })
    )
  )
})

describe("on disk", () => {
  it.effect("two connections see each other's writes", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const [trainer, reader] = [yield* openStore(file), yield* openStore(file)]
      yield* trainer.register(run("a"))
      yield* trainer.appendMetrics("/runs/a", 1, { loss: 2 })
      assert.deepStrictEqual(yield* reader.metrics("/runs/a"), [{ step: 1, metrics: { loss: 2 } }])
      yield* reader.appendMetrics("/runs/a", 2, { loss: 1 })
      assert.strictEqual((yield* trainer.find("a")).lastStep, 2)
    })
  )

  it.effect("rows outlive the connection and answer plain SQL", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      yield* Effect.scoped(
        Effect.gen(function* () {
          const store = yield* openStore(file)
          yield* store.register(run("a"))
          yield* store.appendMetrics("/runs/a", 1, { loss: 2, kl: 0.5 })
        })
      )
      const db = new Sqlite(file, { readonly: true })
      const curve = db.prepare(
        "SELECT step, value FROM metrics JOIN runs USING (run) WHERE runs.name = 'a' AND metrics.name = 'loss'"
      )
      assert.deepStrictEqual(curve.all(), [{ step: 1, value: 2 }])
      db.close()
    })
  )

  it.effect("a process killed in a transaction leaves the committed steps and no part of the open one", () =>
    Effect.gen(function* () {
      const file = yield* temporaryFile
      const script = `
        import { Effect } from "effect"
        import { openDatabase } from ${JSON.stringify(new URL("./database.ts", import.meta.url).href)}
        import { runsTable } from ${JSON.stringify(new URL("./runs-table.ts", import.meta.url).href)}
        import { metricsTable } from ${JSON.stringify(new URL("./run-tables.ts", import.meta.url).href)}
        await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
          const db = yield* openDatabase(${JSON.stringify(file)})
          runsTable(db).register(${JSON.stringify(run("a"))})
          const metrics = metricsTable(db)
          db.transaction(() => metrics.append(1, 1, { loss: 1, kl: 1 })).immediate()
          db.exec("BEGIN IMMEDIATE")
          metrics.append(1, 2, { loss: 2, kl: 2 })
          process.kill(process.pid, "SIGKILL")
        })))
      `
      const child = spawn(process.execPath, ["--input-type=module", "--eval", script], { stdio: "inherit" })
      const [, signal] = yield* Effect.promise(() => once(child, "exit"))
      assert.strictEqual(signal, "SIGKILL")
      const store = yield* openStore(file)
      assert.deepStrictEqual(yield* store.metrics("/runs/a"), [{ step: 1, metrics: { kl: 1, loss: 1 } }])
    })
  )
})
