import { Effect } from "effect"
import { beforeAll, describe, expect, it } from "vitest"
import { ModelRuntime } from "./model-runtime.ts"
import { recomputed } from "./ops/recomputed.ts"
import { tf, type Scalar, type Tensor } from "./tf.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerCpu))))

class Broken extends Error {}

/** x → x, whose gradient throws. */
const brokenGradient = tf.customGrad((x, save) => {
  ;(save as (tensors: Array<Tensor>) => void)([x as Tensor])
  return {
    value: tf.clone(x as Tensor),
    gradFunc: () => {
      throw new Broken()
    }
  }
})

/** x → x, which throws after it has saved its input. */
const brokenValue = tf.customGrad((x, save) => {
  ;(save as (tensors: Array<Tensor>) => void)([x as Tensor])
  throw new Broken()
})

const chains: ReadonlyArray<readonly [string, (x: Tensor) => Tensor]> = [
  ["while values are made", (x) => brokenValue(tf.square(tf.exp(x)))],
  ["while gradients are made", (x) => tf.square(tf.exp(brokenGradient(tf.square(x))))],
  ["inside a block that is computed again", (x) => recomputed((y) => tf.square(brokenGradient(tf.exp(y))), x)]
]

describe("a pass that throws", () => {
  it.each(chains)("%s leaves nothing, and the next one is as if it had not been", (_, chain) => {
    const before = tf.memory()
    const x = tf.tensor1d([0.5, -1])
    const bad = () =>
      tf.grad((y) => {
        tf.keep(tf.neg(y))
        return tf.sum(chain(y)) as Scalar
      })(x)
    expect(bad).toThrow(Broken)
    expect(tf.memory().numTensors).toBe(before.numTensors + 1)
    const good = tf.grad((y) => tf.sum(tf.square(y)) as Scalar)(x)
    expect([...good.dataSync()]).toEqual([1, -2])
    tf.dispose([x, good])
    expect([tf.memory().numTensors, tf.memory().numDataBuffers]).toEqual([before.numTensors, before.numDataBuffers])
  })
})
