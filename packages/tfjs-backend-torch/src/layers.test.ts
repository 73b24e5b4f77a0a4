// oxlint-disable-next-line import/no-unassigned-import -- registers the backend that is compared with
import "@tensorflow/tfjs-backend-cpu"
import * as tf from "@tensorflow/tfjs-core"
import {
  initializers,
  input,
  layers,
  model,
  type LayersModel,
  sequential,
  type SymbolicTensor
} from "@tensorflow/tfjs-layers"
import { describe, expect, it } from "vitest"
import { addonPath } from "./addon.ts"
import { registerTorchBackend } from "./register.ts"

// Models of tfjs-layers, which knows nothing of this backend, against tfjs's CPU backend.

const start = (seed: number) => initializers.randomNormal({ stddev: 0.4, seed })

const image = (): LayersModel =>
  sequential({
    layers: [
      layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, inputShape: [9, 8, 1], kernelInitializer: start(1) }),
      layers.batchNormalization(),
      layers.depthwiseConv2d({ kernelSize: 2, padding: "same", activation: "relu", depthwiseInitializer: start(2) }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.dropout({ rate: 0.25, seed: 3 }),
      layers.flatten(),
      layers.dense({ units: 2, kernelInitializer: start(4) })
    ]
  })

const sequence = (): LayersModel => {
  const rnn = { units: 3, kernelInitializer: start(5), recurrentInitializer: start(6) }
  const tokens = input({ shape: [9] })
  const words = layers
    .embedding({ inputDim: 9, outputDim: 4, maskZero: true, embeddingsInitializer: start(7) })
    .apply(tokens)
  const states = layers.lstm({ ...rnn, returnSequences: true }).apply(words)
  const last = layers.gru(rnn).apply(states) as SymbolicTensor
  return model({
    inputs: tokens,
    outputs: layers.dense({ units: 2, kernelInitializer: start(8) }).apply(last) as SymbolicTensor
  })
}

const pictures = () => tf.randomNormal([7, 9, 8, 1], 0, 1, "float32", 10)

/** Losses of each epoch, predictions and weights after training. */
const trained = async (backend: string, make: () => LayersModel, x: () => tf.Tensor, loss: string) => {
  await tf.setBackend(backend)
  const network = make()
  network.compile({ optimizer: tf.train.momentum(0.02, 0.9), loss, metrics: ["mae"] })
  const [inputs, targets] = [x(), tf.randomUniform([7, 2], 1, 2, "float32", 9)]
  const { history } = await network.fit(inputs, targets, { epochs: 3, batchSize: 3, shuffle: false, verbose: 0 })
  const results = [network.predict(inputs) as tf.Tensor, ...network.getWeights()]
  return [...Object.values(history), ...results.map((tensor) => [...tensor.dataSync()])].flat() as Array<number>
}

describe.skipIf(addonPath() === undefined)("models of tfjs-layers", () => {
  it.each([
    ["of images", image, pictures, "meanSquaredError"],
    // a loss that clips to the largest double
    ["of images, by percentages,", image, pictures, "meanAbsolutePercentageError"],
    ["of sequences with padding", sequence, () => tf.floor(tf.randomUniform([7, 9], 0, 9, "float32", 11)), "logcosh"]
  ] as const)("%s train as on tfjs's CPU backend", async (_, make, x, loss) => {
    registerTorchBackend({ device: "cpu" })
    const wanted = await trained("cpu", make, x, loss)
    const got = await trained("torch", make, x, loss)
    expect(got).toHaveLength(wanted.length)
    const far = got.filter((value, i) => !(Math.abs(value - wanted[i]!) <= 1e-4 * Math.max(1, Math.abs(wanted[i]!))))
    expect(far).toEqual([])
  })
})
