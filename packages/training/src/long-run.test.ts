import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Layer, Schema } from "effect"
import { existsSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { TrainingOptions } from "./options.ts"
import { RunJournal } from "./run-journal.ts"
import { MetricSink } from "./sinks/metric-sink.ts"
import { toyAlgorithm, toyModel } from "./testing/toy-algorithm.ts"
import { train } from "./train.ts"

// what npm run setup:torch leaves behind
const torchIsSetUp = existsSync(join(import.meta.dirname, "../../../.torch/addon.json"))

const backends = [
  { name: "wasm", runtime: ModelRuntime.layerWasm, isThere: true, steps: 1000 },
  { name: "torch", runtime: ModelRuntime.layerTorch({ device: "cpu" }), isThere: torchIsSetUp, steps: 1000 },
  {
    name: "torch in bfloat16, in two micro-batches",
    runtime: ModelRuntime.layerTorch({ device: "cpu", precision: "bfloat16" }),
    isThere: torchIsSetUp,
    steps: 300,
    microBatchSize: 3
  }
]

const optionsFor = (maxSteps: number) =>
  Schema.decodeUnknownSync(TrainingOptions)({ maxSteps, learningRate: 1e-3, evalEvery: 90, saveEvery: 90 })

/** Keeps what the backend says of its memory after every step. */
const watching = Effect.map(ModelRuntime, ({ memory }) => {
  const seen: Array<ReturnType<typeof memory>> = []
  const sink = { write: () => Effect.sync(() => void seen.push(memory())), truncate: () => Effect.void }
  return { seen, layer: Layer.succeed(MetricSink, sink) }
})

const noJournal = Layer.succeed(RunJournal, { checkpoint: () => Effect.void, checkpointRemoved: () => Effect.void })

describe("a thousand steps", () => {
  let folder: string
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "plumbline-long-"))))
  afterAll(() => rmSync(folder, { recursive: true }))

  it.for(backends)("need no more memory than the first hundred: $name", async (one, test) => {
    const { isThere, microBatchSize = 4, name, runtime, steps } = one
    test.skip(!isThere, "no torch is set up")
    const seen = await Effect.gen(function* () {
      const policy = toyModel()
      const { layer, seen: rows } = yield* watching
      const algorithm = toyAlgorithm(policy, { microBatchSize })
      const loop = { options: optionsFor(steps), heldOut: yield* algorithm.heldOut!, folder: join(folder, name) }
      yield* train({ algorithm, extraFiles: {}, ...loop }).pipe(
        Effect.ensuring(Effect.sync(() => policy.dispose())),
        Effect.provide(Layer.merge(layer, noJournal))
      )
      return rows
    }).pipe(Effect.provide(runtime), Effect.runPromise)
    expect(seen.length).toBe(steps)
    // an evaluation and a checkpoint have been by then; 900 steps of the smallest tensor more would be 14 KiB
    const [early, late] = [seen[99]!, seen.at(-1)!]
    const counts = ({ bytes, handles, reservedBytes, tensors }: typeof early) => [
      tensors,
      bytes,
      handles,
      reservedBytes
    ]
    expect(counts(late)).toEqual(counts(early))
    expect(Math.abs((late.allocatedBytes ?? 0) - (early.allocatedBytes ?? 0))).toBeLessThan(1024)
    expect((late.peakBytes ?? 0) - (early.peakBytes ?? 0)).toBeLessThan(4096)
  })
})
