import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "./model-runtime.ts"
import { replaceBackwardPass, takeGradients } from "./backward-pass.ts"
import { tf, type Scalar, type Tensor, type Variable } from "./tf.ts"

beforeAll(async () => {
  await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerCpu))
  replaceBackwardPass()
})

/** x → x, noting how many tensors live when its gradient is asked for. */
const probe = (counts: Array<number>) =>
  tf.customGrad((x) => ({
    value: tf.clone(x as Tensor),
    gradFunc: (dy: Tensor) => {
      counts.push(tf.memory().numTensors)
      return dy
    }
  }))

describe("the tape", () => {
  it("holds no more tensors at its beginning after a long backward pass than after a short one", () => {
    const liveAtTheEnd = (length: number): number => {
      const counts: Array<number> = []
      tf.tidy(() => {
        const f = (x: Tensor) => {
          let y = probe(counts)(x)
          for (let i = 0; i < length; i++) y = tf.tidy(() => tf.sin(tf.square(y)))
          return tf.sum(y) as Scalar
        }
        return tf.grad(f)(tf.tensor1d([0.1, 0.2]))
      })
      return counts[0]!
    }
    // the forward values themselves are freed by their tidies; what was saved goes as the walk passes
    expect(liveAtTheEnd(40) - liveAtTheEnd(4)).toBeLessThan(2 * 36)
  })

  it("refuses a gradient of another shape or dtype than its input's", () => {
    const slope = (wrong: () => Tensor) => {
      const f = tf.customGrad((x) => ({ value: tf.clone(x as Tensor), gradFunc: wrong }))
      return () => tf.tidy(() => void tf.grad((x) => tf.sum(f(x)))(tf.ones([2, 3])))
    }
    expect(slope(() => tf.ones([2, 3]))).not.toThrow()
    expect(slope(() => tf.ones([3, 2]))).toThrow("has shape [3,2] and dtype float32, the input shape [2,3]")
    expect(slope(() => tf.ones([6]))).toThrow("has shape [6]")
    expect(slope(() => tf.ones([2, 3], "int32"))).toThrow("and dtype int32")
  })

  it("gives the same gradients, twice over too, and leaves nothing", () => {
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const cube = (x: Tensor) => tf.mul(x, tf.square(x))
      // x³, 3x², 6x at 2
      expect(tf.grad(cube)(tf.scalar(2)).dataSync()[0]).toBeCloseTo(12, 5)
      expect(
        tf
          .grad((x) => tf.grad(cube)(x))(tf.scalar(2))
          .dataSync()[0]
      ).toBeCloseTo(12, 5)
      // one input used twice, a gradient handed on unchanged, and the caller's own dy
      const dy = tf.scalar(2)
      const twice = tf.grad((x) => tf.add(tf.neg(x), tf.mul(3, x)))(tf.scalar(1), dy)
      expect([twice.dataSync()[0], dy.dataSync()[0]]).toEqual([4, 2])
    })
    expect(tf.memory().numTensors).toBe(before)
  })

  it("takes one tensor as the gradient of two inputs, each of which goes on", () => {
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const sum = tf.customGrad((a, b) => ({
        value: tf.add(a as Tensor, b as Tensor),
        gradFunc: (dy: Tensor) => [dy, dy]
      }))
      // x² + x³: 2x + 3x² at 2
      const slope = tf.grad((x: Tensor) => sum(tf.square(x), tf.pow(x, 3)))
      expect(slope(tf.scalar(2)).dataSync()[0]).toBeCloseTo(16, 5)
    })
    expect(tf.memory().numTensors).toBe(before)
  })
})

describe("takeGradients", () => {
  /** Σ of wᵢ after wᵢ₋₁, so that the last is met first on the way back, and the first once more at the end. */
  const chain = (weights: ReadonlyArray<Variable>) => (): Scalar => {
    const [first, ...rest] = weights
    let y = tf.mul(first!, first!)
    for (const weight of rest) y = tf.sin(tf.mul(y, weight))
    return tf.sum(tf.mul(y, 3))
  }

  it("hands over what `variableGrads` returns, one by one, before the pass is at its end, and leaves nothing", () => {
    const weights = [0.3, 1.2, -0.4, 2].map((value) => tf.variable(tf.tensor1d([value, value / 2])))
    const stranger = tf.variable(tf.tensor1d([1, 1]))
    const before = tf.memory().numTensors
    const expected = tf.variableGrads(chain(weights), [...weights])
    const taken: Array<[Tensor, Float32Array]> = []
    const alive: Array<number> = []
    const value = takeGradients(chain(weights), [stranger, ...weights], (x, gradient) => {
      taken.push([x, gradient.dataSync() as Float32Array])
      alive.push(tf.memory().numTensors)
      gradient.dispose()
    })
    expect(value.dataSync()).toEqual(expected.value.dataSync())
    expect(taken.map(([x]) => x)).toEqual(weights.toReversed())
    for (const [x, gradient] of taken) expect(gradient).toEqual(expected.grads[(x as Variable).name]!.dataSync())
    expect(alive[0]).toBeGreaterThan(alive.at(-1)!)
    tf.dispose([value, expected])
    expect(tf.memory().numTensors).toBe(before)
  })

  it("frees what a taker kept where it throws, and hands nothing to the pass after it", () => {
    const weights = [tf.variable(tf.scalar(2)), tf.variable(tf.scalar(3))]
    const before = tf.memory().numTensors
    const fails = (_: Tensor, gradient: Tensor) => {
      tf.keep(gradient)
      throw new RangeError("full")
    }
    expect(() => tf.tidy(() => takeGradients(chain(weights), weights, fails))).toThrow("full")
    const { grads, value } = tf.variableGrads(chain(weights), weights)
    expect(Object.keys(grads)).toHaveLength(2)
    tf.dispose([grads, value] as never)
    expect(tf.memory().numTensors).toBe(before)
  })
})
