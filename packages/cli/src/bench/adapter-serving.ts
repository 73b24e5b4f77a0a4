import type { CausalLM } from "@plumbline/models"
import { adaptNew, lora } from "@plumbline/peft"
import { engineGenerators, type GeneratorShape, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream, writeValues } from "@plumbline/runtime"
import { Effect } from "effect"
import { randomModel } from "./random-model.ts"
import type { Shape } from "./shapes.ts"
import { median } from "./timing.ts"

export interface AdapterTask {
  readonly shape: Shape
  readonly adapters: number
  readonly loraRank: number
  /** Rows at the same time. */
  readonly batch: number
  /** Tokens of a prompt. */
  readonly prompt: number
  readonly newTokens: number
  readonly repeats: number
  readonly seed: number
}

export interface AdapterMeasurement {
  readonly parameters: number
  /** Numbers of one adapter. */
  readonly adapterParameters: number
  /** Of a decode step whose rows are all of the base, of one adapter, and of all adapters in turn. */
  readonly stepSeconds: Readonly<Record<"base" | "one" | "all", number>>
  /** From new values of an adapter, in the host's memory, to the first token by them. */
  readonly swapSeconds: ReadonlyArray<number>
  /** The same request with the values that are there. */
  readonly firstTokenSeconds: ReadonlyArray<number>
}

/** Times one engine over several LoRA adapters on a base of random weights. */
export const measureAdapters = Effect.fnUntraced(function* (task: AdapterTask) {
  const { adapters, batch, loraRank, newTokens, prompt, seed, shape } = task
  const base = yield* living(() => randomModel(shape, prompt + newTokens, seed, false))
  const adapted: Array<CausalLM> = []
  for (let i = 0; i < adapters; i++) {
    adapted.push(yield* living(() => adaptNew(base, lora({ rank: loraRank }), seed + i).model))
  }
  const options = { maxRows: batch, maxBatchTokens: 32_768, cacheTokens: (batch + 1) * (prompt + newTokens + 32) }
  const [plain, ...generators] = yield* engineGenerators([base, ...adapted], options)
  const step = (of: ReadonlyArray<GeneratorShape>) => stepSeconds(task, of)
  return {
    parameters: [...base.parameters.values()].reduce((total, { size }) => total + size, 0),
    adapterParameters: adapted[0]!.variables.reduce((total, { size }) => total + size, 0),
    stepSeconds: {
      base: yield* step([plain!]),
      one: yield* step(generators.slice(0, 1)),
      all: yield* step(generators)
    },
    ...(yield* swaps(task, adapted[0]!, generators[0]!))
  } satisfies AdapterMeasurement
})

const living = <M extends { readonly dispose: () => void }>(make: () => M) =>
  Effect.acquireRelease(Effect.sync(make), ({ dispose }) => Effect.sync(dispose))

/** Rows by turns of each generator, all at the same time. @returns seconds */
const timed = ({ batch, prompt, seed, shape }: AdapterTask, of: ReadonlyArray<GeneratorShape>, maxNewTokens: number) =>
  Effect.gen(function* () {
    const { uint32 } = philoxStream(seed, "bench/prompts")
    const prompts = Array.from({ length: batch }, (_, row) =>
      Int32Array.from({ length: prompt }, (__, t) => uint32(row * prompt + t) % shape.vocabulary)
    )
    const requests = promptRequests(prompts, { seed, samples: 1, sampling: samplingOptions({ maxNewTokens }) })
    const begun = performance.now()
    yield* Effect.forEach(of, ({ generate }, i) => generate(requests.filter((_, row) => row % of.length === i)), {
      concurrency: "unbounded"
    })
    return (performance.now() - begun) / 1000
  })

const stepSeconds = Effect.fnUntraced(function* (task: AdapterTask, of: ReadonlyArray<GeneratorShape>) {
  const { newTokens, repeats } = task
  yield* timed(task, of, newTokens)
  const steps: Array<number> = []
  for (let i = 0; i < repeats; i++) {
    const prefill = yield* timed(task, of, 1)
    steps.push(((yield* timed(task, of, newTokens)) - prefill) / Math.max(1, newTokens - 1))
  }
  return median(steps)
})

/** New values for an adapter by turns with none, before a request of one row and two tokens. */
const swaps = Effect.fnUntraced(function* (task: AdapterTask, model: CausalLM, generator: GeneratorShape) {
  const values = model.variables.map((variable) => (variable.dataSync() as Float32Array).map((x) => x + 0.01))
  const swap = Effect.sync(() => {
    model.variables.forEach((variable, i) => writeValues(variable, values[i]!))
    model.version.advance()
  })
  const one = { ...task, batch: 1 }
  const first = (before: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const begun = performance.now()
      yield* before
      // the second token's step is the one that is recorded, where it is not yet
      yield* timed(one, [generator], 2)
      return (performance.now() - begun) / 1000
    })
  yield* first(swap)
  const [swapSeconds, firstTokenSeconds]: [Array<number>, Array<number>] = [[], []]
  for (let i = 0; i < Math.max(5, task.repeats); i++) {
    swapSeconds.push(yield* first(swap))
    firstTokenSeconds.push(yield* first(Effect.void))
  }
  return { swapSeconds, firstTokenSeconds }
})
