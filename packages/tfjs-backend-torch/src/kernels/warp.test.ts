import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { registerTorchBackend } from "../register.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]

describe.skipIf(addonPath() === undefined)("images sampled elsewhere", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  /** Two images of 2 × 3 pixels: 0 … 5 and 10 … 15. */
  const images = () => tf.tensor4d([0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15], [2, 2, 3, 1])

  it("are cropped from the image that each box names, between pixels and beyond the edge", () => {
    tf.tidy(() => {
      const boxes = tf.tensor2d([
        [0, 0, 1, 1],
        [0, 0.5, 1, 1.5]
      ])
      const crop = (method: "bilinear" | "nearest", ...ids: Array<number>) =>
        values(tf.image.cropAndResize(images(), boxes, tf.tensor1d(ids, "int32"), [1, 3], method, -1))
      // one row lies half way down: the mean of both; the second box's columns are 1, 2 and 3, which is outside
      expect(crop("bilinear", 1, 0)).toEqual([11.5, 12.5, 13.5, 2.5, 3.5, -1])
      expect(crop("nearest", 0, 1)).toEqual([3, 4, 5, 14, 15, -1])
      expect(() => crop("nearest", 0, 2)).toThrow("boxInd [0,2] is to be in [0, 1]")
    })
  })

  it("are moved by a transform each, or all by one", () => {
    tf.tidy(() => {
      const move = (x: number, y: number) => [1, 0, x, 0, 1, y, 0, 0]
      const transform = (transforms: Array<Array<number>>, mode: "constant" | "nearest" | "reflect" | "wrap") =>
        values(tf.image.transform(images(), tf.tensor2d(transforms), "nearest", mode, 9))
      expect(transform([move(1, 0)], "constant")).toEqual([1, 2, 9, 4, 5, 9, 11, 12, 9, 14, 15, 9])
      expect(transform([move(1, 0), move(-1, 0)], "nearest")).toEqual([1, 2, 2, 4, 5, 5, 10, 10, 11, 13, 13, 14])
      expect(transform([move(-1, 0)], "reflect").slice(0, 3)).toEqual([0, 0, 1])
      expect(transform([move(1, 0)], "wrap").slice(0, 3)).toEqual([1, 2, 0])
      // halves between neighbours, and a quarter of the way to the fill value
      const half = tf.tensor2d([[1, 0, 0.5, 0, 1, 0, 0, 0]])
      expect(values(tf.image.transform(images(), half, "bilinear", "constant", 6)).slice(0, 3)).toEqual([0.5, 1.5, 4])
    })
  })

  it("are turned about their middle, with a colour where nothing was", () => {
    tf.tidy(() => {
      const square = tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1])
      const turned = tf.image.rotateWithOffset(square, Math.PI / 2, 0, [1 / 3, 1 / 3])
      // by a quarter about the pixel in the middle, against the clock
      expect(values(turned)).toEqual([3, 6, 9, 2, 5, 8, 1, 4, 7])
      const opaque = tf.image.rotateWithOffset(tf.zeros([1, 1, 2, 4]) as tf.Tensor4D, Math.PI / 2, [7, 8, 9], 0)
      expect(values(opaque).slice(4)).toEqual([7, 8, 9, 255])
    })
  })

  it("are dilated, and slopes go back to what was largest, the first of equals", () => {
    tf.tidy(() => {
      const x = tf.tensor4d([1, 5, 2, 2], [1, 1, 4, 1])
      const filter = tf.tensor3d([0, 0], [1, 2, 1])
      const dilate = (image: tf.Tensor4D, taps: tf.Tensor3D) => tf.dilation2d(image, taps, 1, "valid")
      expect(values(dilate(x, filter))).toEqual([5, 5, 2])
      expect(values(dilate(x, tf.tensor3d([5, 0], [1, 2, 1])))).toEqual([6, 10, 7])
      const dy = tf.tensor4d([1, 2, 4], [1, 1, 3, 1])
      const attrs = { strides: 1, pad: "valid", dilations: 1 }
      const slope = (of: string) => values(tf.engine().runKernel(`Dilation2DBackprop${of}`, { x, filter, dy }, attrs))
      expect([slope("Input"), slope("Filter")]).toEqual([
        [0, 3, 4, 0],
        [6, 1]
      ])
    })
  })
})
