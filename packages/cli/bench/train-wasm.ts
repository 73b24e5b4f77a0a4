/**
 * `npm run bench`: how fast the embedded backend trains, and what share of its own matrix-product rate that is.
 *
 * A Llama of 4 layers, width 256, 4 heads, MLP 1024, vocabulary 4096 takes SFT steps (forward, backward, clipping,
 * AdamW) on 8 packed rows of 256 tokens. The rate of tf.matMul is measured in the same process, on the same shapes.
 */
import { negativeLogLikelihood, type SupervisedBatch } from "@plumbline/algorithms"
import { collate } from "@plumbline/data"
import { type CausalLM, createModel, type DecoderTable, flopsPerToken, llama } from "@plumbline/models"
import { adamwUpdate, ModelRuntime, philoxStream, type Tensor2D, tf } from "@plumbline/runtime"
import { accumulate } from "@plumbline/training"
import { Effect } from "effect"

const ROWS = 8
const LENGTH = 256
const TOKENS = ROWS * LENGTH
const STEPS = 7

const table = {
  family: llama,
  vocabulary: 4096,
  width: 256,
  layers: 4,
  heads: 4,
  mlpWidth: 1024,
  maxPositions: LENGTH
} satisfies DecoderTable

/** Products of one training step: rows, columns, depth, how often. Each linear layer has one forward, two backward. */
const products = (): ReadonlyArray<readonly [m: number, n: number, k: number, count: number]> => {
  const { layers, mlpWidth, vocabulary, width } = table
  const layer = (inputs: number, outputs: number, count: number) =>
    [
      [TOKENS, outputs, inputs, count],
      [TOKENS, inputs, outputs, count],
      [outputs, inputs, TOKENS, count]
    ] as const
  return [...layer(width, width, 4 * layers), ...layer(width, mlpWidth, 3 * layers), ...layer(width, vocabulary, 1)]
}

const noise = (rows: number, columns: number): Tensor2D => {
  const { normal } = philoxStream(1, "bench")
  return tf.tensor2d(
    Float32Array.from({ length: rows * columns }, (_, i) => normal(i % 4096)),
    [rows, columns]
  )
}

const seconds = (run: () => void): number => {
  const start = performance.now()
  run()
  return (performance.now() - start) / 1000
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/** Products to time between two steps, so that step and products see the same machine. */
const timedProducts = () =>
  products().map(([m, n, k, count]) => {
    const [a, b] = [noise(m, k), noise(k, n)]
    const times: Array<number> = []
    return {
      run: () => void times.push(seconds(() => tf.matMul(a, b).dispose())),
      flops: count * 2 * m * n * k,
      /** Seconds of a step that the product takes. */
      seconds: () => count * median(times),
      dispose: () => tf.dispose([a, b])
    }
  })

const batch = (): SupervisedBatch => {
  const { uint32 } = philoxStream(2, "tokens")
  const rows = Array.from({ length: ROWS }, (_, row) => ({
    ids: new Int32Array(LENGTH).map((__, t) => uint32(row * LENGTH + t) % table.vocabulary),
    lossMask: new Uint8Array(LENGTH).fill(1)
  }))
  return {
    rows: collate(rows, { layout: "packed", padId: 0 }),
    tokens: TOKENS,
    origins: rows.map((_, row) => `row ${row}`)
  }
}

const moments = (policy: CausalLM) =>
  policy.variables.map((parameter) => ({
    parameter,
    firstMoment: tf.tidy(() => tf.variable(tf.zeros(parameter.shape))),
    secondMoment: tf.tidy(() => tf.variable(tf.zeros(parameter.shape))),
    weightDecay: 0.01
  }))

type Step = (number: number) => number

/** One optimizer step; returns the loss before it. */
const stepper =
  (policy: CausalLM, state: ReturnType<typeof moments>, microBatch: SupervisedBatch): Step =>
  (number) => {
    const { gradients, metrics } = accumulate(negativeLogLikelihood, { policy }, [microBatch])
    const items = state.map((item) => ({ ...item, gradient: gradients[item.parameter.name]! }))
    const gradientScale = Math.min(1, 1 / metrics["grad_norm"]!)
    const settings = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, step: number, gradientScale }
    adamwUpdate(items, settings)
    tf.dispose(gradients)
    return metrics["loss"]!
  }

const gigaflops = (rate: number) => `${(rate / 1e9).toFixed(1)} GFLOP/s`

const bench = Effect.gen(function* () {
  const runtime = yield* ModelRuntime
  const policy = createModel(table, 1)
  const step = stepper(policy, moments(policy), batch())
  const first = step(1)
  const matMuls = timedProducts()
  const times: Array<number> = []
  for (let round = 1; round <= STEPS; round++) {
    times.push(seconds(() => void step(round + 1)))
    for (const product of matMuls) product.run()
  }
  const last = step(STEPS + 2)
  const total = (part: (product: (typeof matMuls)[number]) => number) =>
    matMuls.reduce((sum, product) => sum + part(product), 0)
  const rate = total(({ flops }) => flops) / total((product) => product.seconds())
  const stepSeconds = median(times)
  const achieved = (flopsPerToken(policy.config, LENGTH) * TOKENS) / stepSeconds
  for (const product of matMuls) product.dispose()
  const { bytes, reservedBytes } = runtime.memory()
  console.log(runtime.description)
  console.log(`loss               ${first.toFixed(4)} → ${last.toFixed(4)} on one batch`)
  console.log(`step               ${(stepSeconds * 1000).toFixed(0)} ms (median of ${STEPS})`)
  console.log(`training           ${Math.round(TOKENS / stepSeconds)} tokens/s`)
  console.log(`model              ${gigaflops(achieved)}`)
  console.log(`matMul             ${gigaflops(rate)} on the shapes of the step`)
  console.log(`share of matMul    ${((100 * achieved) / rate).toFixed(1)} %`)
  console.log(
    `memory             ${(bytes / 2 ** 20).toFixed(0)} MiB live, ${((reservedBytes ?? 0) / 2 ** 20).toFixed(0)} MiB reserved`
  )
})

await Effect.runPromise(Effect.provide(bench, ModelRuntime.layerWasm))
