import { addonPath } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "./model-runtime.ts"
import { attention } from "./ops/attention.ts"
import { leavesNothing } from "./testing/tensors.ts"
import { tf, type Scalar, type Tensor, type Tensor3D } from "./tf.ts"

interface Engine {
  readonly state: { readonly activeTape: ReadonlyArray<{ readonly kernelName: string }> }
}

describe.skipIf(addonPath() === undefined)("the tape on torch", () => {
  beforeAll(() =>
    Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerTorch({ device: "cpu" }))))
  )
  const values = (x: Tensor) => [...x.dataSync()]

  it("holds an entry an operation, none for what an operation saves", () => {
    leavesNothing(() => {
      let names: ReadonlyArray<string> = []
      const f = (x: Tensor) => {
        const y = tf.sum(tf.exp(tf.square(x))) as Scalar
        names = (tf.engine() as unknown as Engine).state.activeTape.map(({ kernelName }) => kernelName)
        return y
      }
      // d/dx exp(x²) = 2x·exp(x²)
      expect(values(tf.grad(f)(tf.tensor1d([0, 1])))).toEqual([0, expect.closeTo(2 * Math.E, 5)])
      expect(names.slice(0, 2)).toEqual(["Square", "Exp"])
      expect(names).not.toContain("Identity")
    })
  })

  it("keeps what was saved when the program disposes of the tensor", () => {
    leavesNothing(() => {
      const f = (x: Tensor) => {
        const y = tf.neg(x)
        const z = tf.square(y)
        y.dispose()
        return tf.sum(z) as Scalar
      }
      expect(values(tf.grad(f)(tf.tensor1d([3, -2])))).toEqual([6, -4])
    })
  })

  it("makes no gradient of an output that no gradient reads, and zeros of one that is read", () => {
    const kernels: Array<string> = []
    const engine = tf.engine() as unknown as { runKernelFunc: (call: { readonly kernelName?: string }) => unknown }
    const { runKernelFunc } = engine
    const heads = (x: Tensor) => tf.reshape(x, [2, 1, 4]) as Tensor3D
    const rows = { starts: Int32Array.of(0), lengths: Int32Array.of(2) }
    leavesNothing(() => {
      const x = tf.tensor1d([1, 2, 3, 4, 5, 6, 7, 8])
      engine.runKernelFunc = (call) => (kernels.push(call.kernelName ?? ""), runKernelFunc.call(engine, call))
      try {
        const attend = (y: Tensor) =>
          tf.sum(attention(heads(y), heads(y), heads(y), { queries: rows, keys: rows, scale: 0.5 })) as Scalar
        expect(values(tf.grad(attend)(x))).toHaveLength(8)
        expect(kernels).not.toContain("Fill")
        // d/dx (first half) leaves the second half's gradient at 0
        expect(values(tf.grad((y: Tensor) => tf.sum(tf.split(y, 2)[0]!) as Scalar)(x))).toEqual([
          1, 1, 1, 1, 0, 0, 0, 0
        ])
      } finally {
        engine.runKernelFunc = runKernelFunc
      }
    })
  })

  it("has gradients of gradients", () => {
    leavesNothing(() => {
      const slope = tf.grad((x: Tensor) => tf.sum(tf.pow(x, 3)))
      // 6x
      expect(values(tf.grad((x: Tensor) => tf.sum(slope(x)))(tf.tensor1d([1, 2])))).toEqual([6, 12])
    })
  })
})
