import * as tf from "@tensorflow/tfjs-core"
// oxlint-disable-next-line import/no-unassigned-import -- registers tfjs-core's gradients
import "@tensorflow/tfjs-layers"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { registerTorchBackend } from "../register.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]
const ramp = (...shape: Array<number>) => tf.reshape(tf.range(0, tf.util.sizeFromShape(shape)), shape)

describe.skipIf(addonPath() === undefined)("sliding windows", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  it("give nothing where none of them fits, and slopes of 0", () => {
    tf.tidy(() => {
      const [image, volume] = [ramp(2, 3, 1, 2) as tf.Tensor4D, ramp(1, 1, 2, 3, 2) as tf.Tensor5D]
      const [filter, cube] = [ramp(3, 2, 2, 4) as tf.Tensor4D, ramp(2, 1, 1, 2, 4) as tf.Tensor5D]
      const ops: ReadonlyArray<readonly [Array<number>, tf.Tensor, (x: tf.Tensor) => tf.Tensor]> = [
        [[2, 1, 0, 4], image, (x) => tf.conv2d(x as tf.Tensor4D, filter, 1, "valid")],
        [[2, 1, 0, 8], image, (x) => tf.depthwiseConv2d(x as tf.Tensor4D, filter, 1, "valid")],
        [[2, 1, 0, 4], image, (x) => tf.fused.conv2d({ x: x as tf.Tensor4D, filter, strides: 1, pad: "valid" })],
        [[1, 0, 2, 3, 4], volume, (x) => tf.conv3d(x as tf.Tensor5D, cube, 1, "valid")],
        [[2, 2, 0, 2], image, (x) => tf.maxPool(x as tf.Tensor4D, 2, 1, "valid")],
        [[2, 2, 0, 2], image, (x) => tf.avgPool(x as tf.Tensor4D, 2, 1, "valid")],
        [[1, 0, 1, 2, 2], volume, (x) => tf.maxPool3d(x as tf.Tensor5D, 2, 1, "valid")],
        [[1, 0, 1, 2, 2], volume, (x) => tf.avgPool3d(x as tf.Tensor5D, 2, 1, "valid")]
      ]
      for (const [shape, x, op] of ops) {
        expect(op(x).shape).toEqual(shape)
        expect(values(tf.grad(op)(x))).toEqual(values(tf.zerosLike(x)))
      }
      const places = tf.maxPoolWithArgmax(image, 2, 1, "valid")
      expect([places["result"]!.shape, places["indexes"]!.shape, places["indexes"]!.dtype]).toEqual([
        [2, 2, 0, 2],
        [2, 2, 0, 2],
        "int32"
      ])
      const filterSlopes = tf.grad((f) => tf.conv2d(image, f as tf.Tensor4D, 1, "valid"))
      expect(values(filterSlopes(filter))).toEqual(values(tf.zerosLike(filter)))
    })
  })

  it("of pools give every window's slope, however their number was rounded", () => {
    tf.tidy(() => {
      const x = tf.tensor4d([1, 4, 2, 3, 5, 0, 0, 0, 0, 0], [1, 2, 5, 1])
      // windows of columns [1, 2], [3, 4] and, rounded up, [5, –]
      const most = tf.grad((image) => tf.maxPool(image as tf.Tensor4D, 2, 2, 0, "ceil"))
      expect(values(most(x))).toEqual([0, 1, 0, 1, 1, 0, 0, 0, 0, 0])
      const mean = tf.grad((image) => tf.avgPool(image as tf.Tensor4D, 2, 2, 0, "ceil"))
      // tfjs's gradient divides by the window's size, also where only a part of it is in the image
      expect(new Set(values(mean(x)))).toEqual(new Set([0.25]))
    })
  })

  it("of whole numbers hold those that float32 has not", () => {
    tf.tidy(() => {
      const exact = tf.tensor4d([2 ** 24 + 1, 2 ** 24 + 3, -(2 ** 24) - 1, -(2 ** 24) - 5], [1, 1, 4, 1], "int32")
      expect(values(tf.maxPool(exact, [1, 2], [1, 2], "valid"))).toEqual([2 ** 24 + 3, -(2 ** 24) - 1])
      const means = tf
        .engine()
        .runKernel("AvgPool", { x: exact }, { filterSize: [1, 2], strides: [1, 2], pad: "valid" })
      expect(values(means as tf.Tensor)).toEqual([2 ** 24 + 2, -(2 ** 24) - 3])
    })
  })
})
