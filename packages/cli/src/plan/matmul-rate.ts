import type { DecoderConfig } from "@plumbline/models"
import { linear, ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"

const ROWS = 256
const SECONDS = 0.3

/** FLOP/s of this machine at the model's own matrix product, measured for about a third of a second. */
export const measureMatmulRate = Effect.fnUntraced(function* ({ mlpWidth, width }: DecoderConfig) {
  yield* ModelRuntime
  return yield* Effect.sync(() =>
    tf.tidy(() => {
      const inputs = tf.randomUniform([ROWS, width], -1, 1, "float32", 1) as tf.Tensor2D
      const matrix = tf.randomUniform([mlpWidth, width], -1, 1, "float32", 2) as tf.Tensor2D
      const multiply = () => tf.tidy(() => void linear(inputs, matrix).slice([0, 0], [1, 1]).dataSync())
      multiply()
      const begun = performance.now()
      let products = 0
      while (performance.now() - begun < SECONDS * 1000) {
        multiply()
        products++
      }
      return (2 * ROWS * width * mlpWidth * products) / ((performance.now() - begun) / 1000)
    })
  )
})
