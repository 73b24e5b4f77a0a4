import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { registerTorchBackend } from "../register.ts"

const { fill } = tf
const values = (tensor: tf.Tensor) => [...tensor.dataSync()]
const result = (tensor: tf.Tensor) => [tensor.dtype, tensor.shape, values(tensor)]

describe.skipIf(addonPath() === undefined)("kernels of the torch backend on mixed and odd dtypes", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  it("take the wider dtype of two", () => {
    tf.tidy(() => {
      const [whole, half] = [tf.tensor1d([2, 3], "int32"), tf.tensor1d([0.5, 1.5])]
      const flags = tf.tensor1d([1, 0], "bool")
      expect(result(tf.where(flags, whole, flags))).toEqual(["int32", [2], [2, 0]])
      expect(result(tf.where(flags, whole, half))).toEqual(["float32", [2], [2, 1.5]])
      expect(result(tf.einsum("i,i->", whole, half))).toEqual(["float32", [], [5.5]])
      expect(result(tf.einsum("i,j->ij", half, whole))).toEqual(["float32", [2, 2], [1, 1.5, 3, 4.5]])
      expect(result(tf.einsum("i,i->", whole, flags))).toEqual(["int32", [], [2]])
    })
  })

  it("multiply slopes of any shape, of whole numbers without overflow", () => {
    tf.tidy(() => {
      const x = tf.tensor2d([-1, 2], [2, 1])
      expect(result(tf.prelu(x, tf.tensor2d([[0.5, 3]])))).toEqual(["float32", [2, 2], [-0.5, -3, 2, 2]])
      // −2²⁴ · 2¹⁶
      const product = tf.prelu(tf.tensor1d([-(2 ** 24)], "int32"), tf.tensor1d([2 ** 16], "int32"))
      expect(result(product)).toEqual(["float32", [1], [-(2 ** 40)]])
    })
  })

  it("fill and pad with what the dtype stores of a number, as JavaScript does", () => {
    tf.tidy(() => {
      const whole = tf.tensor1d([1], "int32")
      for (const odd of [Number.NaN, Infinity, -Infinity]) {
        expect(result(fill([1], odd, "int32"))).toEqual(["int32", [1], [0]])
        expect(result(tf.pad(whole, [[1, 0]], odd))).toEqual(["int32", [2], [0, 1]])
      }
      expect(result(tf.pad(whole, [[0, 1]], 2.7))).toEqual(["int32", [2], [1, 2]])
      expect(result(fill([1], Number.NaN, "bool"))).toEqual(["bool", [1], [0]])
      expect(result(tf.pad(tf.tensor1d([0], "bool"), [[1, 0]], -2))).toEqual(["bool", [2], [1, 0]])
      const numbers = tf.complex([Number.NaN, Infinity, -7.5], [1, 1, 1])
      expect(values(tf.cast(numbers, "int32"))).toEqual([0, 2 ** 31 - 128, -7])
    })
  })

  it("scan a number as a list of one", () => {
    tf.tidy(() => {
      const seven = tf.scalar(7, "int32")
      expect([tf.cumsum(seven), tf.cumsum(seven, 0, true), tf.cumprod(seven, 0, true)].map(values)).toEqual([
        [7],
        [0],
        [1]
      ])
      expect(result(tf.cumsum(tf.scalar(true, "bool")))).toEqual(["int32", [], [1]])
    })
  })

  it("count in no rows, and space out one number", () => {
    tf.tidy(() => {
      const none = tf.zeros([0, 3], "int32") as tf.Tensor2D
      expect(result(tf.denseBincount(none, tf.zeros([0]) as unknown as tf.Tensor2D, 4))).toEqual([
        "float32",
        [0, 4],
        []
      ])
      expect(values(tf.linspace(-3, 5, 1))).toEqual([-3])
    })
  })

  it("keep imaginary parts or refuse complex numbers, by their shape", () => {
    tf.tidy(() => {
      const x = tf.complex([1, 2], [3, 4])
      const parts = (z: tf.Tensor) => [...values(tf.real(z)), ...values(tf.imag(z))]
      expect(parts(tf.cumsum(x))).toEqual([1, 3, 3, 7])
      // (1 + 3i)² + (2 + 4i)²
      expect(parts(tf.einsum("i,i->", x, x))).toEqual([-20, 22])
      expect(parts(tf.matMul(tf.reshape(x, [1, 2]), tf.reshape(x, [2, 1])))).toEqual([-20, 22])
      const refusal = expect.objectContaining({ name: "ComplexNumbers", shape: [2] })
      const image = tf.reshape(x, [1, 2, 1, 1]) as tf.Tensor4D
      for (const op of [tf.leakyRelu, (z: tf.Tensor) => tf.prelu(z, tf.scalar(1))]) expect(() => op(x)).toThrow(refusal)
      expect(() => tf.maxPool(image, [2, 1], 1, "valid")).toThrow("of shape [1,2,1,1] has complex ones")
      expect(() => tf.image.resizeBilinear(image, [3, 3])).toThrow("tf.real, tf.imag, tf.abs give such")
    })
  })

  it("normalise by statistics of no more than their input", () => {
    tf.tidy(() => {
      const [x, wide] = [tf.ones([1, 3]) as tf.Tensor2D, tf.ones([4, 3]) as tf.Tensor2D]
      expect(() => tf.batchNorm2d(x, wide, wide)).toThrow(
        "no more than its input: Shapes 1,1,4,3 and 1,1,1,3 must match"
      )
    })
  })
})
