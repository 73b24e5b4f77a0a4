import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { registerTorchBackend } from "../register.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]

describe.skipIf(addonPath() === undefined)("convolutions", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  /** [N, H, W, 1], each row 1, 2, … of another ten. */
  const rows = (batch: number, height: number, width: number) =>
    tf.tidy(() => {
      const tens = tf.mul(tf.range(0, batch * height), 10)
      return tf.reshape(tf.add(tf.reshape(tens, [-1, 1]), tf.range(1, width + 1)), [
        batch,
        height,
        width,
        1
      ]) as tf.Tensor4D
    })

  // oneDNN's results were wrong, for enough of them to be worth its while, where one channel, permuted, looked like the last
  it("of one channel fit one window across, at a stride that leaves columns out", () => {
    tf.tidy(() => {
      const filter = tf.tensor4d([1, -1, 2, -2, 4, -4], [1, 3, 1, 2])
      // 1·(t + 1) + 2·(t + 2) + 4·(t + 3) = 7t + 17, t = 0, 10, 20, …
      const wanted = Array.from({ length: 64 }, (_, i) => [70 * i + 17, -70 * i - 17]).flat()
      expect(values(tf.conv2d(rows(4, 16, 4), filter, [1, 2], "valid"))).toEqual(wanted)
      const series = tf.reshape(rows(64, 1, 4), [64, 4, 1]) as tf.Tensor3D
      expect(values(tf.conv1d(series, tf.reshape(filter, [3, 1, 2]) as tf.Tensor3D, 2, "valid"))).toEqual(wanted)
      const volume = tf.reshape(rows(4, 16, 4), [4, 1, 16, 4, 1]) as tf.Tensor5D
      const solid = tf.reshape(filter, [1, 1, 3, 1, 2]) as tf.Tensor5D
      expect(values(tf.conv3d(volume, solid, [1, 1, 2], "valid"))).toEqual(wanted)
    })
  })
})
