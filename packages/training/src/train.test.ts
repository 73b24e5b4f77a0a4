import { it } from "@effect/vitest"
import { type CausalLM } from "@plumbline/models"
import { ModelRuntime, type Tensor, tf } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { Effect, Layer, Schema } from "effect"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { afterEach, beforeEach, describe, expect } from "vitest"
import { checkpointSteps } from "./checkpoints.ts"
import { TrainingOptions } from "./options.ts"
import { RunContext } from "./run-context.ts"
import { runTraining } from "./run.ts"
import { Progress } from "./sinks/progress.ts"
import { StopRequest } from "./stop-request.ts"
import { toyAlgorithm, toyModel, type ToyOptions } from "./testing/toy-algorithm.ts"

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-train-"))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

interface Asked extends ToyOptions {
  readonly resume?: boolean
  readonly output?: string
  readonly options?: Partial<TrainingOptions>
  /** Asks the run to stop after this many steps. */
  readonly stopAfter?: number
  readonly inputs?: ReadonlyArray<string>
  readonly policy?: CausalLM
  /** Whether the loss compares the policy with its sampler. */
  readonly sampled?: boolean
}

const run = ({
  inputs = [],
  options = {},
  output = "run",
  policy = toyModel(),
  resume = false,
  sampled = false,
  stopAfter = Infinity,
  ...toy
}: Asked = {}) => {
  // asked once before the first step
  let asked = -1
  return runTraining({
    algorithm: { ...toyAlgorithm(policy, toy), ...(sampled && { sampledFrom: () => policy }) },
    options: Schema.decodeUnknownSync(TrainingOptions)({
      maxSteps: 7,
      learningRate: 0.05,
      evalEvery: 0,
      saveEvery: 3,
      ...options
    }),
    inputs
  }).pipe(
    Effect.provideService(StopRequest, () => ++asked >= stopAfter),
    Effect.provide(
      Layer.mergeAll(
        RunContext.layer({ output: join(folder, output), resume, invocation: { command: "toy", options: {} } }),
        Progress.layerSilent
      )
    )
  )
}

const services = Layer.merge(ModelRuntime.layerWasm, RunStore.layerTest)

type Body = () => Effect.Effect<void, unknown, ModelRuntime | RunStore>

const checkWith = (test: typeof it.live) => (name: string, body: Body) =>
  test(name, () => Effect.provide(Effect.suspend(body), services))

const check = Object.assign(checkWith(it.live), {
  skipIf: (absent: boolean) => checkWith(it.live.skipIf(absent) as typeof it.live)
})

/** Lines of metrics.jsonl without what the clock decides. */
const metricLines = (output = "run") =>
  readFileSync(join(folder, output, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const { "timers/step": _step, tokens_per_second: _speed, ...rest } = JSON.parse(line) as Record<string, number>
      return rest
    })

const weights = (model: { readonly parameters: ReadonlyMap<string, Tensor> }) =>
  [...model.parameters].map(([name, tensor]) => [name, [...tensor.dataSync()]])

describe("runTraining", () => {
  check("learns, writes a line a step, and leaves a model", () =>
    Effect.gen(function* () {
      const { metrics, status, step } = yield* run({ options: { maxSteps: 30 } })
      expect([step, status]).toEqual([30, "finished"])
      expect(metricLines().map((line) => line["step"])).toEqual(Array.from({ length: 30 }, (_, i) => i + 1))
      expect(metrics["loss"]).toBeLessThan(metricLines()[0]!["loss"]! - 0.5)
      expect(readdirSync(join(folder, "run", "final")).toSorted()).toEqual(["config.json", "model.safetensors"])
      const [recorded] = yield* (yield* RunStore).runs()
      expect([recorded!.status, recorded!.lastStep]).toEqual(["finished", 30])
    })
  )

  for (const microBatchSize of [1, 3]) {
    check(`takes the same steps in micro-batches of ${microBatchSize}`, () =>
      Effect.gen(function* () {
        yield* run({ output: "whole" })
        yield* run({ output: "split", microBatchSize })
        metricLines("split").forEach((line, i) => {
          const whole = metricLines("whole")[i]!
          expect(Math.abs(line["loss"]! / whole["loss"]! - 1)).toBeLessThan(1e-5)
          expect(Math.abs(line["grad_norm"]! / whole["grad_norm"]! - 1)).toBeLessThan(1e-4)
        })
      })
    )
  }

  check(
    "takes batch-invariant kernels for all of a run that compares the policy with its sampler, and for no other",
    () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const policy = toyModel()
        const tokenLogProbs: CausalLM["tokenLogProbs"] = (...given) => {
          seen.push(`${given[0].scored.targets.length} scored`)
          return policy.tokenLogProbs(...given)
        }
        const open = {
          ...(yield* ModelRuntime),
          batchInvariance: { turn: (on: boolean) => void seen.push(on ? "on" : "off") }
        }
        const asked = (sampled: boolean, output: string) =>
          run({ sampled, output, options: { maxSteps: 1 }, policy: { ...policy, tokenLogProbs } }).pipe(
            Effect.provideService(ModelRuntime, open)
          )
        yield* asked(false, "alone")
        const alone = seen.splice(0)
        yield* asked(true, "sampled")
        expect(alone).not.toContain("on")
        expect(seen).toEqual(["on", "1 scored", ...alone, "off"])
      })
  )

  check("computes blocks again where asked to, with the same steps", () =>
    Effect.gen(function* () {
      yield* run({ output: "kept" })
      let asked = 0
      const policy = toyModel()
      const recomputing = () => (asked++, policy.recomputing())
      const { models } = yield* run({
        policy: { ...policy, recomputing },
        options: { activationCheckpointing: true, evalEvery: 0 }
      })
      expect(asked).toBe(1)
      expect(models.policy).not.toBe(policy)
      expect(metricLines()).toEqual(metricLines("kept"))
    })
  )

  for (const stopAfter of [1, 3, 5]) {
    check(`goes on bit for bit after a stop at step ${stopAfter}`, () =>
      Effect.gen(function* () {
        const whole = yield* run({ output: "whole", options: { evalEvery: 3 } })
        const stopped = yield* run({ options: { evalEvery: 3 }, stopAfter })
        expect([stopped.step, stopped.status]).toEqual([stopAfter, "stopped"])
        expect(existsSync(join(folder, "run", "final"))).toBe(false)
        const resumed = yield* run({ options: { evalEvery: 3 }, resume: true })
        expect(metricLines()).toEqual(metricLines("whole"))
        expect(weights(resumed.models.policy)).toEqual(weights(whole.models.policy))
      })
    )
  }

  check("drops lines written after the last checkpoint, as after a kill", () =>
    Effect.gen(function* () {
      yield* run({ output: "whole" })
      yield* run({ stopAfter: 5 })
      rmSync(join(folder, "run", "checkpoints", "step-5"), { recursive: true })
      yield* run({ resume: true })
      expect(metricLines()).toEqual(metricLines("whole"))
    })
  )

  for (const monitorMode of ["min", "max"] as const) {
    check(`keeps the newest checkpoints and the one with the ${monitorMode} of the monitored metric`, () =>
      Effect.gen(function* () {
        // at this rate the loss falls, then rises
        const rates = { learningRate: 1, lrSchedule: "constant" as const }
        yield* run({
          options: { ...rates, maxSteps: 10, saveEvery: 1, keepCheckpoints: 2, monitor: "loss", monitorMode }
        })
        const losses = metricLines().map((line) => line["loss"]!)
        const best = losses.indexOf(Math[monitorMode](...losses)) + 1
        const expected = [...new Set([best, 9, 10])].toSorted((a, b) => a - b)
        expect(expected.length).toBe(3)
        expect(checkpointSteps(join(folder, "run"))).toEqual(expected)
        const recorded = yield* (yield* RunStore).checkpoints(join(folder, "run"))
        expect(recorded.map(({ step }) => step)).toEqual(expected)
      })
    )
  }

  check("evaluates held-out data without moving the run", () =>
    Effect.gen(function* () {
      yield* run({ output: "plain" })
      yield* run({ options: { evalEvery: 3 } })
      expect(
        metricLines()
          .filter((line) => "eval_loss" in line)
          .map((line) => line["step"])
      ).toEqual([3, 6, 7])
      const training = metricLines().map(({ eval_loss: _loss, ...rest }) => rest)
      expect(training).toEqual(metricLines("plain"))
    })
  )

  check("stops at the time limit with a checkpoint, and goes on from it", () =>
    Effect.gen(function* () {
      const stopped = yield* run({ options: { maxSeconds: 1e-9 } })
      expect([stopped.step, stopped.status]).toEqual([1, "stopped"])
      expect(checkpointSteps(join(folder, "run"))).toEqual([1])
      expect((yield* run({ resume: true })).step).toBe(7)
    })
  )

  check("names the rows of a step that is not finite, and does not apply it", () =>
    Effect.gen(function* () {
      const policy = toyModel()
      const error = yield* Effect.flip(
        run({ policy, brokenRow: 2, microBatchSize: 2, options: { saveEvery: 1, lrSchedule: "constant" } })
      )
      expect(error).toMatchObject({ _tag: "NonFiniteStep", metric: "loss", rows: ["toy.jsonl:2"], weight: undefined })
      const [recorded] = yield* (yield* RunStore).runs()
      expect([recorded!.status, recorded!.error?.tag]).toEqual(["failed", "NonFiniteStep"])
      expect(readFileSync(join(folder, "run", "metrics.jsonl"), "utf8")).not.toMatch(/NaN|null/)
      const applied = checkpointSteps(join(folder, "run")).at(-1) ?? 0
      const before = yield* run({
        output: "before",
        microBatchSize: 2,
        options: { maxSteps: Math.max(1, applied), lrSchedule: "constant" }
      })
      expect((error as { readonly step: number }).step).toBe(applied + 1)
      expect(applied === 0 ? weights(toyModel()) : weights(before.models.policy)).toEqual(weights(policy))
    })
  )

  check("refuses a folder that holds a run", () =>
    Effect.gen(function* () {
      yield* run()
      expect((yield* Effect.flip(run()))._tag).toBe("RunExists")
    })
  )

  check("tells a store that is newer than the run what was measured before", () =>
    Effect.gen(function* () {
      yield* Effect.provide(run({ stopAfter: 5 }), Layer.fresh(RunStore.layerTest))
      yield* run({ resume: true })
      const recorded = yield* (yield* RunStore).metrics(join(folder, "run"))
      const withoutClock = ({
        metrics: { "timers/step": _step, tokens_per_second: _speed, ...rest }
      }: {
        readonly metrics: Readonly<Record<string, number>>
      }) => rest
      expect(recorded.map((row) => ({ step: row.step, ...withoutClock(row) }))).toEqual(metricLines())
      expect(recorded.length).toBe(7)
    })
  )

  check("refuses what a run left where its run.json is gone, and leaves it", () =>
    Effect.gen(function* () {
      yield* run({ stopAfter: 2 })
      const lines = metricLines()
      rmSync(join(folder, "run", "run.json"))
      expect(yield* Effect.flip(run())).toMatchObject({
        _tag: "RunRemains",
        remains: ["checkpoints", "metrics.jsonl"]
      })
      expect(metricLines()).toEqual(lines)
      expect(existsSync(join(folder, "run", "run.json"))).toBe(false)
    })
  )

  for (const [damage, content, reason] of [
    ["is empty", "", "Unexpected end of JSON input"],
    ["says nothing", "{}", "Missing key"],
    ["is of another step", undefined, "it is that of step 3"],
    ["has a word for a number", '{"step":5,"numTokens":"x","seconds":1,"memory":{},"optimizerSteps":5}', "numTokens"]
  ] as const) {
    check(`refuses a checkpoint whose state ${damage}, names the one before it, and keeps the metrics`, () =>
      Effect.gen(function* () {
        yield* run({ stopAfter: 5 })
        const lines = metricLines()
        const checkpoints = join(folder, "run", "checkpoints")
        const other = readFileSync(join(checkpoints, "step-3", "state.json"))
        writeFileSync(join(checkpoints, "step-5", "state.json"), content ?? other)
        const error = yield* Effect.flip(run({ resume: true }))
        expect(error).toMatchObject({ _tag: "CheckpointUnusable", before: 3 })
        expect((error as Error).message).toContain(reason)
        expect(metricLines()).toEqual(lines)
        rmSync(join(checkpoints, "step-5"), { recursive: true })
        expect((yield* run({ resume: true })).step).toBe(7)
      })
    )
  }

  for (const content of ["null", "{}", '{"invocation":{"command":"toy"}}', "{"]) {
    check(`refuses to go on by a run.json of ${content}`, () =>
      Effect.gen(function* () {
        yield* run({ stopAfter: 2 })
        writeFileSync(join(folder, "run", "run.json"), content)
        expect((yield* Effect.flip(run({ resume: true })))._tag).toBe("RunNotFound")
      })
    )
  }

  check("refuses to go on to fewer steps than were made", () =>
    Effect.gen(function* () {
      yield* run({ stopAfter: 5 })
      const error = yield* Effect.flip(run({ resume: true, options: { maxSteps: 4 } }))
      expect(error).toMatchObject({ _tag: "OptionsInvalid", option: "--max-steps" })
      expect(metricLines().length).toBe(5)
    })
  )

  check("fails where an algorithm's experience ends before the run", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(run({ experienceEnds: 4 }))).toMatchObject({
        _tag: "ExperienceEnded",
        algorithm: "toy",
        step: 4,
        maxSteps: 7
      })
      const [recorded] = yield* (yield* RunStore).runs()
      expect(recorded!.status).toBe("failed")
      expect((yield* run({ resume: true })).status).toBe("finished")
    })
  )

  for (const saveEvery of [0, 1]) {
    check(`saves no weights that a step made infinite, with --save-every ${saveEvery}`, () =>
      Effect.gen(function* () {
        // 10³⁹ is above the largest float32
        const options = { learningRate: 1e39, lrSchedule: "constant", maxSteps: 1, saveEvery } as const
        const error = yield* Effect.flip(run({ options }))
        expect(error).toMatchObject({ _tag: "NonFiniteWeights", step: 1 })
        expect(checkpointSteps(join(folder, "run"))).toEqual([])
        expect(existsSync(join(folder, "run", "final"))).toBe(false)
      })
    )
  }

  check("blames a weight that is not finite, and no row", () =>
    Effect.gen(function* () {
      const policy = toyModel()
      const [name, tensor] = [...policy.parameters].at(-1)!
      const broken = tensor.dataSync().slice()
      broken[1] = NaN
      policy.variables.at(-1)!.assign(tf.tensor(broken, tensor.shape))
      const error = yield* Effect.flip(run({ policy }))
      expect(error).toMatchObject({ _tag: "NonFiniteStep", step: 1, weight: `policy/${name}` })
      expect((error as Error).message).not.toContain("toy.jsonl")
    })
  )

  check("refuses a run that another process writes, and takes over a dead one's lock", () =>
    Effect.gen(function* () {
      yield* run({ stopAfter: 2 })
      const lock = join(folder, "run", "run.lock")
      writeFileSync(lock, JSON.stringify({ pid: process.ppid }))
      expect(yield* Effect.flip(run({ resume: true }))).toMatchObject({ _tag: "RunLocked", pid: process.ppid })
      writeFileSync(lock, JSON.stringify({ pid: process.ppid, started: "0" }))
      expect((yield* run({ resume: true })).step).toBe(7)
      expect(existsSync(lock)).toBe(false)
    })
  )

  check("does not start when a stop was asked for before", () =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(run({ stopAfter: 0 })))._tag).toBe("StopRequested")
      expect(existsSync(join(folder, "run"))).toBe(false)
    })
  )

  check("keeps the work at a stop even without regular checkpoints", () =>
    Effect.gen(function* () {
      yield* run({ stopAfter: 2, options: { saveEvery: 0 } })
      expect(checkpointSteps(join(folder, "run"))).toEqual([2])
    })
  )

  check("refuses to go on with other inputs", () =>
    Effect.gen(function* () {
      const data = join(folder, "data.jsonl")
      writeFileSync(data, "one")
      yield* run({ stopAfter: 2, inputs: [data] })
      writeFileSync(data, "two")
      expect(yield* Effect.flip(run({ resume: true, inputs: [data] }))).toMatchObject({
        _tag: "InputChanged",
        path: data
      })
    })
  )

  for (const [option, options] of [
    ["--save-every", { evalEvery: 2, saveEvery: 3 }],
    ["--monitor", { monitor: "lost" }]
  ] as const) {
    check(`refuses a contradicting ${option}`, () =>
      Effect.gen(function* () {
        expect(yield* Effect.flip(run({ options }))).toMatchObject({ _tag: "OptionsInvalid", option })
      })
    )
  }

  check.skipIf(!existsSync("/proc/self"))("says so where the system refuses a folder", () =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(run({ output: join(relative(folder, "/proc"), "run") })))._tag).toBe(
        "OutputUnwritable"
      )
    })
  )

  check("makes nothing when the output cannot be written", () =>
    Effect.gen(function* () {
      writeFileSync(join(folder, "file"), "")
      expect((yield* Effect.flip(run({ output: "file/run" })))._tag).toBe("OutputUnwritable")
      expect(readdirSync(folder)).toEqual(["file"])
    })
  )
})
