// Times generation on the CPU, ours and transformers' in turn, on random weights of the same shape:
//   node scripts/compare-generation/compare-generation.ts --python PYTHON [--shape llama-tiny] [--batch 8] [--precision bfloat16] …
import { spawn } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { Generator, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { randomModel } from "../../packages/cli/src/bench/random-model.ts"
import { shapes, type ShapeName } from "../../packages/cli/src/bench/shapes.ts"

interface Task {
  readonly batch: number
  readonly prompt: number
  readonly newTokens: number
  /** 0 is greedy */
  readonly temperature: number
  readonly topP: number
}

/** Seconds of the clock, and of all processors. */
interface Timing {
  readonly wall: number
  readonly processor: number
}

const { values: flags } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    shape: { type: "string", default: "llama-tiny" },
    precision: { type: "string", default: "float32" },
    batch: { type: "string", default: "1,8,32" },
    prompt: { type: "string", default: "32" },
    "new-tokens": { type: "string", default: "64" },
    sampling: { type: "string", default: "0:1,0.8:0.95" },
    threads: { type: "string", default: "2" },
    // rows of a step that drafted tokens may fill; the engine's own number when absent
    "draft-rows": { type: "string" },
    rounds: { type: "string", default: "3" }
  }
})

const shapeName = flags.shape as ShapeName
const shape = shapes[shapeName]
const threads = Number(flags.threads)
const precision = flags.precision as "float32" | "bfloat16"

const transformers = () => {
  const child = spawn(flags.python, [join(import.meta.dirname, "theirs.py")], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, OMP_NUM_THREADS: String(threads) }
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    time: async (task: Task): Promise<Timing> => {
      child.stdin.write(`${JSON.stringify({ ...task, shapeName, shape, threads, precision })}\n`)
      const { value } = await lines.next()
      return JSON.parse(value as string) as Timing
    },
    end: () => child.stdin.end()
  }
}

const ours = ({ batch, newTokens, prompt, temperature, topP }: Task) =>
  Effect.gen(function* () {
    const generator = yield* Generator
    const prompts = Array.from({ length: batch }, (_, row) =>
      Int32Array.from({ length: prompt }, (__, t) => (row * 7919 + t * 104_729 + 13) % shape.vocabulary)
    )
    const sampling = samplingOptions({ maxNewTokens: newTokens, temperature, topP })
    const [wall, processor] = [performance.now(), process.cpuUsage()]
    yield* generator.generate(promptRequests(prompts, { seed: 0, samples: 1, sampling }))
    const { system, user } = process.cpuUsage(processor)
    return { wall: (performance.now() - wall) / 1000, processor: (system + user) / 1e6 }
  })

const quickest = (timings: ReadonlyArray<Timing>): Timing => ({
  wall: Math.min(...timings.map(({ wall }) => wall)),
  processor: Math.min(...timings.map(({ processor }) => processor))
})

const list = (text: string) => text.split(",")
const tasks = list(flags.batch).flatMap((batch) =>
  list(flags.sampling).map((pair) => {
    const [temperature, topP] = pair.split(":").map(Number) as [number, number]
    return {
      batch: Number(batch),
      prompt: Number(flags.prompt),
      newTokens: Number(flags["new-tokens"]),
      temperature,
      topP
    }
  })
)

const ms = (seconds: number) => (seconds * 1000).toFixed(2)

const compared = (task: Task, theirs: (task: Task) => Promise<Timing>) =>
  Effect.gen(function* () {
    const [own, other]: [Array<Timing>, Array<Timing>] = [[], []]
    const [ownFirst, otherFirst]: [Array<Timing>, Array<Timing>] = [[], []]
    for (let round = 0; round <= Number(flags.rounds); round++) {
      const first = { ...task, newTokens: 1 }
      const timings = [
        yield* ours(first),
        yield* Effect.promise(() => theirs(first)),
        yield* ours(task),
        yield* Effect.promise(() => theirs(task))
      ] as const
      // the first round warms up
      if (round > 0) [ownFirst, otherFirst, own, other].forEach((times, i) => times.push(timings[i]!))
    }
    const [a, b, a1, b1] = [own, other, ownFirst, otherFirst].map(quickest) as [Timing, Timing, Timing, Timing]
    const step = (whole: Timing, prompt: Timing, kind: keyof Timing) =>
      (whole[kind] - prompt[kind]) / (task.newTokens - 1)
    const parts = (["wall", "processor"] as const).map((kind) => {
      const [mine, their] = [step(a, a1, kind), step(b, b1, kind)]
      return `${kind}: step ${ms(mine)} | ${ms(their)} ms (${(their / mine).toFixed(2)}×), all ${ms(a[kind])} | ${ms(b[kind])} ms (${(b[kind] / a[kind]).toFixed(2)}×)`
    })
    console.log(
      `${shapeName} ${precision} batch ${task.batch} T ${task.temperature} p ${task.topP}  ${parts.join("   ")}`
    )
  })

const program = Effect.gen(function* () {
  yield* ModelRuntime
  const most = Math.max(...tasks.map(({ batch }) => batch))
  const length = Number(flags.prompt) + Number(flags["new-tokens"])
  const model = randomModel(shape, length + 16, 0)
  const python = transformers()
  const draftRows = flags["draft-rows"] === undefined ? undefined : Number(flags["draft-rows"])
  const options = { maxRows: most, maxBatchTokens: 32_768, cacheTokens: (most + 1) * (length + 32), draftRows }
  yield* Effect.gen(function* () {
    for (const task of tasks) yield* compared(task, python.time)
  }).pipe(Effect.provide(Generator.layerModel(model, options)), Effect.ensuring(Effect.sync(python.end)))
})

process.env["OMP_NUM_THREADS"] = String(threads)
await Effect.runPromise(
  program.pipe(Effect.provide(ModelRuntime.layerTorch({ device: "cpu", precision })), Effect.scoped)
)
