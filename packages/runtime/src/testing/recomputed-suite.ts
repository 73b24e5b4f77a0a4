import { describe, expect, it } from "vitest"
import { attention } from "../ops/attention.ts"
import { linear } from "../ops/linear.ts"
import { rmsNorm } from "../ops/norms.ts"
import { recomputed } from "../ops/recomputed.ts"
import { tf, type Scalar, type Tensor, type Tensor1D, type Tensor2D, type Tensor3D, type Variable } from "../tf.ts"
import { leavesNothing, noise } from "./tensors.ts"

const TOKENS = 5
const WIDTH = 8

/** One block's worth of operations, several of which keep values for their gradients. */
const block = (weight: Tensor2D, scale: Tensor1D) => (x: Tensor2D, mask: Tensor2D) => {
  const spans = { starts: Int32Array.of(0), lengths: Int32Array.of(TOKENS) }
  const normed = rmsNorm(x, scale, 1e-5)
  const heads = tf.reshape(linear(normed, weight), [TOKENS, 2, WIDTH / 2]) as Tensor3D
  const mixed = attention(heads, heads, heads, { queries: spans, keys: spans, scale: 0.5 })
  return tf.add(x, tf.mul(tf.reshape(mixed, [TOKENS, WIDTH]), mask)) as Tensor2D
}

interface Trained {
  readonly weight: Variable
  readonly scale: Variable
  readonly mask: Tensor2D
}

const withParameters = (body: (parameters: Trained) => void): void => {
  const made = tf.tidy(() => ({
    weight: tf.variable(noise([WIDTH, WIDTH], "weight")),
    scale: tf.variable(noise([WIDTH], "scale")),
    mask: tf.keep(noise<Tensor2D>([TOKENS, WIDTH], "mask"))
  }))
  leavesNothing(() => body(made))
  tf.dispose({ ...made })
}

const read = (tensors: Readonly<Record<string, Tensor>>) =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, [...tensor.dataSync()]]))

type Run = (body: ReturnType<typeof block>, x: Tensor2D, mask: Tensor2D) => Tensor2D

const taped: Run = (body, x, mask) => tf.tidy(() => body(x, mask))

/** Two blocks on the same variables, the mask gone before the backward pass begins. */
const gradients = ({ mask, scale, weight }: Trained, run: Run, variables: Array<Variable>) =>
  tf.tidy(() => {
    const loss = () => {
      const input = tf.mul(tf.mean(scale), noise<Tensor2D>([TOKENS, WIDTH], "x")) as Tensor2D
      const own = tf.clone(mask)
      const body = block(weight as Tensor as Tensor2D, scale as Tensor as Tensor1D)
      return tf.sum(tf.mul(run(body, run(body, input, own), own), mask)) as Scalar
    }
    const { grads, value } = tf.variableGrads(loss, variables)
    return read({ ...grads, value })
  })

/** Kernels that `body` runs. */
const kernelsOf = (body: () => void): number => {
  const engine = tf.engine()
  const { runKernel } = engine
  let count = 0
  engine.runKernel = ((...args: Parameters<typeof runKernel>) => (
    count++,
    runKernel.apply(engine, args)
  )) as typeof runKernel
  try {
    body()
  } finally {
    Reflect.deleteProperty(engine, "runKernel")
  }
  return count
}

/** Recomputation, on any backend whose kernels are deterministic. */
export const recomputedSuite = (): void => {
  describe("recomputed", () => {
    it("has the value and the gradients of the body itself, bit for bit", () => {
      withParameters((parameters) => {
        const both = [parameters.weight, parameters.scale]
        const expected = gradients(parameters, taped, both)
        expect(expected[parameters.weight.name]!.some((slope) => slope !== 0)).toBe(true)
        expect(gradients(parameters, recomputed, both)).toEqual(expected)
      })
    })

    it("gives gradients to the variables asked for and none to a frozen one", () => {
      withParameters((parameters) => {
        const expected = gradients(parameters, taped, [parameters.scale])
        expect(gradients(parameters, recomputed, [parameters.scale])).toEqual(expected)
        parameters.weight.trainable = false
        const found = gradients(parameters, recomputed, [parameters.scale])
        parameters.weight.trainable = true
        expect(found).toEqual(expected)
      })
    })

    it("makes no gradient that nobody can ask for", () => {
      withParameters(({ mask, scale, weight }) => {
        const body = (x: Tensor) => tf.mul(tf.matMul(x as Tensor2D, weight as Tensor as Tensor2D), scale)
        const run = () =>
          tf.tidy(() => void tf.variableGrads(() => tf.sum(recomputed(body, tf.mul(mask, 2))) as Scalar, [scale]))
        const kernels = kernelsOf(run)
        weight.trainable = false
        expect(kernelsOf(run)).toBeLessThan(kernels)
        weight.trainable = true
      })
    })

    it("keeps its input and constants, whatever the body makes", () => {
      withParameters(({ mask, scale, weight }) => {
        const keptBy = (run: Run) => {
          let kept = 0
          tf.tidy(() =>
            tf.variableGrads(() => {
              const input = tf.clone(mask)
              const before = tf.memory().numTensors
              const output = run(block(weight as Tensor as Tensor2D, scale as Tensor as Tensor1D), input, mask)
              kept = tf.memory().numTensors - before - 1
              return tf.sum(output) as Scalar
            }, [weight])
          )
          return kept
        }
        expect(keptBy(recomputed)).toBe(2)
        expect(keptBy(taped)).toBeGreaterThan(4)
      })
    })

    it("runs the body once without a tape, and once more for the gradient", () => {
      leavesNothing(() => {
        let runs = 0
        const body = (x: Tensor) => (runs++, tf.square(x))
        const x = tf.scalar(3)
        expect(recomputed(body, x).dataSync()[0]).toBe(9)
        expect(runs).toBe(1)
        expect(
          tf
            .grad((y) => recomputed(body, y))(x)
            .dataSync()[0]
        ).toBe(6)
        expect(runs).toBe(3)
      })
    })

    it("differentiates inside itself, and twice", () => {
      leavesNothing(() => {
        const cube = (x: Tensor) =>
          recomputed(
            (y: Tensor) =>
              tf.mul(
                y,
                recomputed((z: Tensor) => tf.square(z), y)
              ),
            x
          )
        // x³, 3x², 6x at 2
        expect(tf.grad(cube)(tf.scalar(2)).dataSync()[0]).toBeCloseTo(12, 5)
        expect(
          tf
            .grad((x) => tf.grad(cube)(x))(tf.scalar(2))
            .dataSync()[0]
        ).toBeCloseTo(12, 5)
      })
    })

    it("hands on what the body returns unchanged, and zeros for what it does not read", () => {
      leavesNothing(() => {
        const [x, y] = [tf.scalar(2), tf.scalar(5)]
        expect(
          tf
            .grad((z) => recomputed((same: Tensor) => same, z))(x, tf.scalar(7))
            .dataSync()[0]
        ).toBe(7)
        expect(
          tf
            .grad((z) => recomputed(() => tf.mul(y, 1), z))(x)
            .dataSync()[0]
        ).toBe(0)
        // the pass outside goes on after it
        expect(
          tf
            .grad((z) =>
              tf.mul(
                recomputed((same: Tensor) => tf.square(same), tf.mul(z, 3)),
                z
              )
            )(x)
            .dataSync()[0]
        ).toBe(108)
      })
    })

    it("lets go of the engine when the body fails", () => {
      const runKernelFunc = () => Object.getOwnPropertyDescriptor(tf.engine(), "runKernelFunc")
      const own = runKernelFunc()
      const fail = () => {
        throw new Error("no block")
      }
      expect(() => tf.tidy(() => tf.grad((x) => recomputed(fail, x))(tf.scalar(1)))).toThrow("no block")
      expect(runKernelFunc()).toEqual(own)
    })
  })
}
