import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { registerTorchBackend } from "../register.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]
const result = (tensor: tf.Tensor) => [tensor.dtype, tensor.shape, values(tensor)]

describe.skipIf(addonPath() === undefined)("kernels of the torch backend", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  it("take limits and fillings beyond float32 as infinite ones, as JavaScript stores them", () => {
    tf.tidy(() => {
      // tfjs-layers clips percentage errors so
      expect(values(tf.clipByValue(tf.tensor1d([-1, 5, Infinity]), 0, Number.MAX_VALUE))).toEqual([0, 5, Infinity])
      const filled = tf.engine().runKernel("Fill", {}, { shape: [1], value: 1e300, dtype: "float32" }) as tf.Tensor
      expect(values(filled)).toEqual([Infinity])
      expect(values(tf.pad(tf.tensor1d([1]), [[1, 0]], -1e300))).toEqual([-Infinity, 1])
      const large = tf.tensor1d([2 ** 24 + 1, -7], "int32")
      expect(values(tf.clipByValue(large, 0, Number.MAX_VALUE))).toEqual([2 ** 24 + 1, 0])
      // of whole numbers, those that float32 has not
      expect(values(tf.clipByValue(large, -9, 2 ** 24 - 1))).toEqual([2 ** 24 - 1, -7])
      expect(values(tf.clipByValue(large, 2 ** 25 + 1, 2 ** 26))).toEqual([2 ** 25 + 1, 2 ** 25 + 1])
      expect(values(tf.pad(large, [[1, 0]], 2 ** 31 - 1))).toEqual([2 ** 31 - 1, 2 ** 24 + 1, -7])
    })
  })

  it("divide whole numbers by 0 to 0 and keep the last 32 bits of a power, as JavaScript stores them", () => {
    tf.tidy(() => {
      const [x, zero] = [tf.tensor1d([7, -7, 0], "int32"), tf.scalar(0, "int32")]
      expect([tf.floorDiv(x, zero), tf.mod(x, zero)].map(values)).toEqual([
        [0, 0, 0],
        [0, 0, 0]
      ])
      expect(values(tf.pow(zero, tf.scalar(-1, "int32")))).toEqual([0])
      // 7^12 = 13,841,287,201 = 3 · 2³² + 956,385,313
      expect(values(tf.pow(x, tf.scalar(12, "int32")))).toEqual([956_385_313, 956_385_313, 0])
    })
  })

  it("compute with booleans as with 0 and 1", () => {
    tf.tidy(() => {
      const [a, b] = [tf.tensor1d([0, 1, 1], "bool"), tf.tensor1d([1, 1, 0], "bool")]
      const bools = (...flags: Array<number>) => ["bool", [3], flags]
      expect(result(tf.sub(a, b))).toEqual(bools(1, 0, 1))
      expect(result(tf.squaredDifference(a, b))).toEqual(bools(1, 0, 1))
      expect(result(tf.mod(a, b))).toEqual(bools(0, 0, 0))
      expect(result(tf.pow(a, b))).toEqual(bools(0, 1, 1))
      for (const same of [tf.abs, tf.neg, tf.relu, tf.round, tf.square]) expect(result(same(a))).toEqual(bools(0, 1, 1))
      expect(result(tf.clipByValue(a, 0, 1))).toEqual(bools(0, 1, 1))
      expect(tf.softplus(a).dtype).toBe("float32")
      // ln 2 and ln(1 + e)
      expect(values(tf.softplus(a))[0]).toBeCloseTo(Math.LN2, 5)
      expect(values(tf.softplus(a))[1]).toBeCloseTo(1.313262, 5)
    })
  })

  it("reduce and scan axes without elements", () => {
    tf.tidy(() => {
      const [nothing, none] = [tf.zeros([2, 0]), tf.zeros([0, 3])]
      expect(result(tf.max(nothing, 1))).toEqual(["float32", [2], [-Infinity, -Infinity]])
      expect(result(tf.min(nothing, 1, true))).toEqual(["float32", [2, 1], [Infinity, Infinity]])
      expect(result(tf.max(none, 1))).toEqual(["float32", [0], []])
      expect(result(tf.max(tf.zeros([0], "int32")))).toEqual(["int32", [], [-(2 ** 31)]])
      expect(result(tf.any(tf.zeros([0], "bool")))).toEqual(["bool", [], [0]])
      expect([tf.max(tf.zeros([0], "bool")), tf.min(tf.zeros([0], "bool"))].map(values)).toEqual([[0], [1]])
      expect(result(tf.logSumExp(nothing, 1))).toEqual(["float32", [2], [-Infinity, -Infinity]])
      expect(result(tf.argMax(nothing, 1))).toEqual(["int32", [2], [0, 0]])
      expect(result(tf.argMin(none, 1))).toEqual(["int32", [0], []])
      expect(result(tf.cumsum(none, 0, true))).toEqual(["float32", [0, 3], []])
      expect(tf.logSoftmax(nothing).shape).toEqual([2, 0])
    })
  })

  it("take every NaN for the same one, whatever its bits", () => {
    tf.tidy(() => {
      const bits = new Uint32Array([0x7fc00000, 0xffc00000, 0x3f800000, 0x7fc00001])
      const { indices, values: found } = tf.unique(tf.tensor1d(new Float32Array(bits.buffer)))
      expect([values(found), values(indices)]).toEqual([
        [Number.NaN, 1],
        [0, 0, 1, 0]
      ])
    })
  })

  it("keep the imaginary part of complex numbers", () => {
    tf.tidy(() => {
      const x = tf.complex([0, 0], [Math.PI, Math.PI / 2])
      const parts = (z: tf.Tensor) =>
        [tf.real(z), tf.imag(z)].map((part) => values(part).map((v) => Math.round(v * 1e5) / 1e5))
      // e^{πi} = −1, e^{πi/2} = i; the mean of the exponents is 3πi/4
      expect(parts(tf.exp(x))).toEqual([
        [-1, -0],
        [-0, 1]
      ])
      expect(parts(tf.mean(x))).toEqual([[0], [2.35619]])
    })
  })

  it("slice backwards behind an axis that is dropped", () => {
    tf.tidy(() => {
      const x = tf.tensor2d([1, 2, 3, 4, 5, 6], [2, 3])
      // x[-2, 1::-2], x[1, ::-1]
      expect(result(tf.stridedSlice(x, [-2, 1], [1, 0], [1, -2], 0, 2, 0, 0, 1))).toEqual(["float32", [1], [2]])
      expect(result(tf.stridedSlice(x, [1, 0], [2, 0], [1, -1], 2, 2, 0, 0, 1))).toEqual(["float32", [3], [6, 5, 4]])
    })
  })
})
