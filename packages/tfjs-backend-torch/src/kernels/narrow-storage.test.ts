import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { addonPath } from "../addon.ts"
import { aten } from "../aten.ts"
import { registerTorchKernel } from "../kernel.ts"
import { registerTorchBackend } from "../register.ts"
import { BFLOAT16, FLOAT16 } from "../scalar-type.ts"

const values = (tensor: tf.Tensor) => [...tensor.dataSync()]
const run = (name: string, inputs: object, attrs = {}) =>
  tf.engine().runKernel(name, inputs as tf.NamedTensorMap, attrs) as tf.Tensor

describe.skipIf(addonPath() === undefined)("kernels on numbers of 16 bits beside float32", () => {
  beforeAll(async () => {
    registerTorchBackend({ device: "cpu" })
    await tf.setBackend("torch")
  })

  it.each([
    ["bfloat16", BFLOAT16],
    ["float16", FLOAT16]
  ] as const)("take %s in convolutions, pools, einsum, scatters and complex numbers", (_, type) => {
    const to = aten("to.dtype")
    registerTorchKernel("TestNarrow", ({ x }, __, scope) => scope.out(to(scope.of(x), type), "float32", x.shape))
    tf.tidy(() => {
      const narrow = <T extends tf.Tensor>(x: T) => run("TestNarrow", { x }) as T
      const [image, filter] = [tf.tensor4d([1, 2, 3, 4], [1, 2, 2, 1]), tf.tensor4d([1, 2], [1, 2, 1, 1])]
      // 1 + 2·2 and 3 + 2·4
      expect(values(tf.conv2d(narrow(image), filter, 1, "valid"))).toEqual([5, 11])
      expect(values(tf.depthwiseConv2d(image, narrow(filter), 1, "valid"))).toEqual([5, 11])
      const dy = tf.tensor4d([3], [1, 1, 1, 1])
      const pool = { filterSize: 2, strides: 2, pad: "valid" }
      expect(values(run("MaxPoolGrad", { dy, input: narrow(image), output: dy }, pool))).toEqual([0, 0, 0, 3])
      expect(values(run("AvgPoolGrad", { dy, input: narrow(image) }, pool))).toEqual([0.75, 0.75, 0.75, 0.75])
      const slopes = { strides: 1, pad: "valid", dataFormat: "NHWC", inputShape: [1, 2, 2, 1] }
      const rows = tf.tensor4d([1, 10], [1, 2, 1, 1])
      expect(values(run("Conv2DBackpropInput", { dy: rows, filter: narrow(filter) }, slopes))).toEqual([1, 2, 10, 20])
      const vector = tf.tensor1d([1, 2, 3])
      expect(values(tf.einsum("i,i->", narrow(vector), vector))).toEqual([14])
      // |3 + 4i|
      expect(values(tf.abs(tf.complex(narrow(tf.tensor1d([3])), tf.tensor1d([4]))))).toEqual([5])
      const places = tf.tensor2d([2, 0, 2], [3, 1], "int32")
      expect(values(tf.scatterND(places, narrow(vector), [3]))).toEqual([2, 0, 4])
    })
  })
})
