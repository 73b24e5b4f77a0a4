import { RunStore } from "@plumbline/store"
import { Effect } from "effect"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { checkWritable } from "./check-writable.ts"
import { runIn } from "./find-run.ts"
import { storeLayer } from "./store-file.ts"
import { statusOf } from "./run-status.ts"

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-store-file-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const registration = (id: string) => ({
  id,
  name: "a",
  algorithm: "dpo",
  folder: id,
  config: {},
  startedAt: "2026-01-01T00:00:00Z"
})

describe("storeLayer", () => {
  it("makes no file before the first use, then keeps what it is given", async () => {
    const file = join(folder, "new", "plumbline.db")
    const before = await Effect.runPromise(
      Effect.gen(function* () {
        const store = yield* RunStore
        const untouched = !existsSync(join(folder, "new"))
        yield* store.register(registration("/a"))
        yield* store.appendMetrics("/a", 1, { loss: 0.5 })
        return untouched
      }).pipe(Effect.provide(storeLayer(file)))
    )
    expect(before).toBe(true)
    const runs = await Effect.runPromise(
      Effect.flatMap(RunStore, (store) => store.runs()).pipe(Effect.provide(storeLayer(file)))
    )
    expect(runs).toMatchObject([{ id: "/a", lastStep: 1, lastLoss: 0.5 }])
  })
})

describe("checkWritable", () => {
  it("accepts folders that do not exist yet, and refuses a path below a file", async () => {
    writeFileSync(join(folder, "file"), "")
    await Effect.runPromise(checkWritable(join(folder, "x", "y")))
    const error = await Effect.runPromise(Effect.flip(checkWritable(join(folder, "file", "x"))))
    expect(error.message).toBe(`cannot write ${folder}/file/x: ${folder}/file is a file, not a folder`)
  })
})

describe("statusOf", () => {
  const run = (name: string, lock?: object) => {
    const path = join(folder, name)
    mkdirSync(path)
    if (lock !== undefined) writeFileSync(join(path, "run.lock"), JSON.stringify(lock))
    return statusOf({ folder: path, status: "running" })
  }

  it("calls a run running while the process that holds its lock is there", () => {
    expect(run("alive", { pid: process.pid })).toBe("running")
  })

  it("calls it interrupted without a lock, or with that of a process that is gone or another", () => {
    expect(run("unlocked")).toBe("interrupted")
    // above the largest pid that Linux and macOS give
    expect(run("gone", { pid: 2 ** 30 })).toBe("interrupted")
  })

  it.skipIf(!existsSync("/proc/self/stat"))("is not fooled by another process with the same number", () => {
    expect(run("recycled", { pid: process.pid, started: "1" })).toBe("interrupted")
  })

  it("leaves every other status as it is", () => {
    expect(statusOf({ folder: "/nowhere", status: "failed" })).toBe("failed")
  })
})

describe("runIn", () => {
  it("finds the run itself, else a stage, else nothing", () => {
    const recipe = join(folder, "recipe")
    mkdirSync(join(recipe, "sft"), { recursive: true })
    expect(runIn(recipe)).toBeUndefined()
    expect(runIn(join(folder, "nowhere"))).toBeUndefined()
    writeFileSync(join(recipe, "sft", "run.json"), "{}")
    expect(runIn(recipe)).toBe(join(recipe, "sft"))
    expect(runIn(join(recipe, "sft"))).toBe(join(recipe, "sft"))
  })
})
