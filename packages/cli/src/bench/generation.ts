import type { CausalLM } from "@plumbline/models"
import { type GenerationError, Generator, promptRequests, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import { randomModel } from "./random-model.ts"
import type { Shape } from "./shapes.ts"
import { median } from "./timing.ts"

export interface GenerationTask {
  readonly shape: Shape
  /** Rows at the same time. */
  readonly batch: number
  /** Tokens of a prompt. */
  readonly prompt: number
  readonly newTokens: number
  /** Rows of a prompt; the prompts are batch / samples. */
  readonly samples: number
  readonly repeats: number
  readonly seed: number
}

export interface GenerationMeasurement {
  readonly parameters: number
  /** Of each repeat: prompts read and all tokens drawn. */
  readonly seconds: ReadonlyArray<number>
  /** Of a run of one new token a row. */
  readonly prefillSeconds: number
  readonly decodeStepSeconds: number | null
  /** Bytes of weights, keys and values that a decode step reads, in the middle of the responses. */
  readonly bytesPerStep: number
}

/** Times whole batches through the engine, after one to warm up. */
export const measureGeneration = Effect.fnUntraced(function* (task: GenerationTask, bytesPerNumber: number) {
  const { batch, newTokens, prompt, repeats, samples, seed, shape } = task
  const model = yield* Effect.acquireRelease(
    Effect.sync(() => randomModel(shape, prompt + newTokens, seed)),
    ({ dispose }) => Effect.sync(dispose)
  )
  // without drafts, so that a step is one token of each row
  const options = {
    maxRows: batch,
    maxBatchTokens: 32_768,
    cacheTokens: (batch + 1) * (prompt + newTokens + 32),
    draftRows: 0
  }
  return yield* Effect.gen(function* () {
    const run = (count: number) => timed(task, count)
    yield* run(newTokens)
    const prefill: Array<number> = []
    const seconds: Array<number> = []
    for (let i = 0; i < repeats; i++) {
      prefill.push(yield* run(1))
      seconds.push(yield* run(newTokens))
    }
    const prefillSeconds = median(prefill)
    const measurement: GenerationMeasurement = {
      parameters: model.variables.reduce((total, { size }) => total + size, 0),
      seconds,
      prefillSeconds,
      decodeStepSeconds: decodeStep(median(seconds), prefillSeconds, newTokens),
      bytesPerStep: bytesPerNumber * numbersPerStep(model, batch, prompt + newTokens / 2)
    }
    return { ...measurement, samples }
  }).pipe(Effect.provide(Generator.layerModel(model, options)))
})

/** Seconds of a step after the first token; null where there is none, or all of them take less than times vary by. */
export const decodeStep = (seconds: number, prefillSeconds: number, newTokens: number): number | null =>
  newTokens > 1 && seconds > prefillSeconds ? (seconds - prefillSeconds) / (newTokens - 1) : null

const timed = ({ batch, prompt, samples, seed, shape }: GenerationTask, maxNewTokens: number) =>
  Effect.gen(function* () {
    const generator = yield* Generator
    const { uint32 } = philoxStream(seed, "bench/prompts")
    const prompts = Array.from({ length: batch / samples }, (_, row) =>
      Int32Array.from({ length: prompt }, (__, t) => uint32(row * prompt + t) % shape.vocabulary)
    )
    const begun = performance.now()
    yield* generator.generate(promptRequests(prompts, { seed, samples, sampling: samplingOptions({ maxNewTokens }) }))
    return (performance.now() - begun) / 1000
  }) satisfies Effect.Effect<number, GenerationError, Generator>

/** Every matrix once, and the keys and values of every row. */
const numbersPerStep = ({ config, variables }: CausalLM, rows: number, context: number): number => {
  const { headWidth, keyValueHeads, layers, tiedEmbeddings, vocabulary, width } = config
  const lookedUp = tiedEmbeddings ? 0 : vocabulary * width
  const weights = variables.reduce((total, { size }) => total + size, 0) - lookedUp
  return weights + rows * context * layers * 2 * keyValueHeads * headWidth
}
