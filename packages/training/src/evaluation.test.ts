import { it } from "@effect/vitest"
import { ModelRuntime } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { Effect, Layer, Schema } from "effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect } from "vitest"
import { TrainingOptions } from "./options.ts"
import { RunContext } from "./run-context.ts"
import { runTraining } from "./run.ts"
import { Progress } from "./sinks/progress.ts"
import { StopRequest } from "./stop-request.ts"
import { toyAlgorithm, toyModel } from "./testing/toy-algorithm.ts"

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-evaluation-"))))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

type Metrics = Readonly<Record<string, number>>

/** Five steps of the toy, whose evaluations count themselves. */
const run = (options: Partial<TrainingOptions>, { absent = false, withLoss = false } = {}) =>
  Effect.suspend(() => {
    const policy = toyModel()
    const versions: Array<number> = []
    const evaluation = Effect.sync(() => ({ loss: versions.push(policy.version.current()) }))
    const { heldOut, ...toy } = toyAlgorithm(policy)
    const algorithm = {
      ...toy,
      ...(withLoss && { heldOut: heldOut! }),
      evaluation: Effect.succeed(absent ? undefined : evaluation)
    }
    const decoded = Schema.decodeUnknownSync(TrainingOptions)({ maxSteps: 5, learningRate: 0.05, ...options })
    return Effect.map(runTraining({ algorithm, options: decoded }), () => ({ versions, lines: lines() }))
  }).pipe(
    Effect.provideService(StopRequest, () => false),
    Effect.provide(
      Layer.mergeAll(
        RunContext.layer({ output: join(folder, "run"), resume: false, invocation: { command: "toy", options: {} } }),
        Progress.layerSilent
      )
    ),
    Effect.provide(Layer.merge(ModelRuntime.layerWasm, RunStore.layerTest))
  )

const lines = (): ReadonlyArray<Metrics> =>
  readFileSync(join(folder, "run", "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Metrics)

const evaluatedAt = (all: ReadonlyArray<Metrics>) =>
  all.flatMap(({ step, eval_loss }) => (eval_loss === undefined ? [] : [[step, eval_loss]]))

it.live("is made of the weights after the step, at its interval and at the end, and goes with the checkpoints", () =>
  Effect.gen(function* () {
    const { lines: all, versions } = yield* run({ evalEvery: 2, monitor: "eval_loss" })
    expect(evaluatedAt(all)).toEqual([
      [2, 1],
      [4, 2],
      [5, 3]
    ])
    expect(versions).toEqual([2, 4, 5])
    const best = (yield* Effect.sync(() =>
      JSON.parse(readFileSync(join(folder, "run", "checkpoints", "step-5", "state.json"), "utf8"))
    )) as { readonly best: unknown }
    expect(best.best).toEqual({ step: 2, value: 1 })
  })
)

it.live("stands beside the loss of held-out batches, and over it where both have a name", () =>
  Effect.map(run({ evalEvery: 5 }, { withLoss: true }), ({ lines: all }) => expect(evaluatedAt(all)).toEqual([[5, 1]]))
)

it.live("is not made where there is nothing held out, or it is never asked for", () =>
  Effect.gen(function* () {
    expect(evaluatedAt((yield* run({ evalEvery: 2 }, { absent: true })).lines)).toEqual([])
    rmSync(join(folder, "run"), { recursive: true })
    expect((yield* run({ evalEvery: 0 })).versions).toEqual([])
  })
)

it.live("refuses a --monitor that no evaluation will give, at the first step", () =>
  Effect.map(Effect.flip(run({ evalEvery: 2, monitor: "eval_lost" })), (error) =>
    expect(error.message).toContain('--monitor: no metric is called "eval_lost"')
  )
)
