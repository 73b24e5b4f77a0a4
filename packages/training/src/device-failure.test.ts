import { type DeviceFailure, ModelRuntime, tf } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { Effect, Schema } from "effect"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import type { StepOutOfMemory } from "./errors.ts"
import { TrainingOptions } from "./options.ts"
import { RunContext } from "./run-context.ts"
import { runTraining } from "./run.ts"
import { Progress } from "./sinks/progress.ts"
import { toyAlgorithm, toyModel } from "./testing/toy-algorithm.ts"

// what npm run setup:torch leaves behind
const isSetUp = existsSync(join(import.meta.dirname, "../../../.torch/addon.json"))

/** Where the device is asked for memory, or for what it has computed. */
const ASKING = ["call", "fromHost", "programRun", "toHost", "traceRun"] as const

interface Addon extends Record<(typeof ASKING)[number], (...args: ReadonlyArray<unknown>) => unknown> {
  readonly handleStatistics: () => { readonly handles: number; readonly bytes: number }
}

const addonOf = () => (tf.engine().findBackend("torch") as unknown as { readonly addon: Addon }).addon

/** What the addon throws; its own tests provoke the errors of libtorch that this stands for. */
const torchError = (kind: string) =>
  Object.assign(new Error("aten::mm: CUDA error"), {
    name: "TorchError",
    kind,
    operator: "aten::mm",
    shapes: "Float[2, 3]",
    bytesAsked: 1024,
    bytesFree: 10
  })

interface Machine {
  readonly precision: "float32" | "bfloat16"
  readonly activationCheckpointing: boolean
}

const machines: ReadonlyArray<Machine> = [
  { precision: "float32", activationCheckpointing: false },
  { precision: "bfloat16", activationCheckpointing: true }
]

interface Attempt {
  readonly failing?: number
  readonly kind?: string
  readonly resume?: boolean
}

describe.skipIf(!isSetUp)("a device that fails", () => {
  let folder: string
  let own: Pick<Addon, (typeof ASKING)[number]>
  let calls = 0

  /** Counts operators and uploads, and has the one of number `failing` fail. */
  const watch = (failing?: number, kind = "out-of-memory") => {
    calls = 0
    for (const name of ASKING) {
      addonOf()[name] = (...args) => {
        if (++calls === failing) throw torchError(kind)
        return own[name](...args)
      }
    }
  }

  const alive = () => {
    const { bytes, handles } = addonOf().handleStatistics()
    return { tensors: tf.memory().numTensors, handles, bytes }
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "plumbline-device-"))
    await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cpu" })))
    const { call, fromHost, programRun, toHost, traceRun } = addonOf()
    own = { call, fromHost, programRun, toHost, traceRun }
  })
  afterEach(() => void Object.assign(addonOf(), own))
  afterAll(() => rmSync(folder, { recursive: true }))

  /** One run, or the next part of it, with a model of its own. @returns its failure, if it failed, and its status */
  const runOn =
    ({ activationCheckpointing, precision }: Machine) =>
    (output: string, { failing, kind, resume = false }: Attempt = {}) => {
      const context = { output: join(folder, output), resume, invocation: { command: "toy", options: {} } }
      const options = Schema.decodeUnknownSync(TrainingOptions)({
        maxSteps: 3,
        learningRate: 0.05,
        evalEvery: 2,
        saveEvery: 2,
        activationCheckpointing
      })
      return Effect.gen(function* () {
        const policy = yield* Effect.acquireRelease(Effect.sync(toyModel), (made) => Effect.sync(() => made.dispose()))
        watch(failing, kind)
        const failure = yield* runTraining({ algorithm: toyAlgorithm(policy, { microBatchSize: 2 }), options }).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(error))
        )
        const [row] = yield* (yield* RunStore).runs()
        return { failure: failure as DeviceFailure | StepOutOfMemory | undefined, status: row?.status }
      }).pipe(
        Effect.scoped,
        Effect.provide([RunStore.layerTest, Progress.layerSilent, RunContext.layer(context)]),
        Effect.provide(ModelRuntime.layerTorch({ device: "cpu", precision })),
        Effect.runPromise
      )
    }

  const metrics = (output: string) =>
    readFileSync(join(folder, output, "metrics.jsonl"), "utf8").replaceAll(
      /"(timers\/step|tokens_per_second)":[^,}]*/g,
      ""
    )
  const weights = (output: string) => readFileSync(join(folder, output, "final/model.safetensors"))

  it.each(machines)("ends the run, frees all, and a resume goes on bit for bit: %o", async (machine) => {
    const run = runOn(machine)
    const whole = `whole-${machine.precision}`
    // what a kernel asks is recorded when it is first called, or its parts when it is called again
    for (let i = 0; i < 3; i++) await run(`warm-up-${machine.precision}-${i}`)
    const before = alive()
    expect(await run(whole)).toEqual({ failure: undefined, status: "finished" })
    expect(alive()).toEqual(before)
    const all = calls
    const PARTS = 16
    const tags = new Set<string>()
    for (let part = 0; part < PARTS; part++) {
      const failing = 1 + Math.round((part * (all - 1)) / (PARTS - 1))
      const output = `${machine.precision}-failed-at-${failing}`
      const kind = part % 2 === 0 ? "out-of-memory" : "device"
      const { failure, status } = await run(output, { failing, kind })
      expect(status, String(failure)).toBe("failed")
      tags.add(failure!._tag)
      expect(alive(), `operator ${failing} of ${all}: ${failure!.message}`).toEqual(before)
      expect(existsSync(join(folder, output, "run.lock"))).toBe(false)
      expect(await run(output, { resume: true })).toEqual({ failure: undefined, status: "finished" })
      expect(metrics(output)).toBe(metrics(whole))
      expect(weights(output).equals(weights(whole))).toBe(true)
    }
    expect([...tags].toSorted()).toEqual(["DeviceLost", "OutOfMemory", "StepOutOfMemory"])
  })
})
