import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { beforeAll, expect, it } from "vitest"
import { countOperations } from "./operations.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))))

it("counts what is taped, what runs, and nothing afterwards", () => {
  const x = tf.variable(tf.scalar(3))
  const square = () => tf.tidy(() => void tf.variableGrads(() => tf.exp(tf.neg(x)) as tf.Scalar, [x]))
  const { taped, tapeEntries, total, waited } = countOperations(square)
  // forward: neg, exp; backward runs at least the gradients of both and starts from ones
  expect(taped).toBe(2)
  // exp keeps its result
  expect(tapeEntries).toBe(3)
  expect(total).toBeGreaterThanOrEqual(4)
  expect(waited).toBe(0)
  expect(countOperations(() => undefined)).toEqual({ taped: 0, tapeEntries: 0, total: 0, waited: 0 })
  x.dispose()
})

it("measures the wait of host reads and lets go of the engine after a failure", () => {
  expect(countOperations(() => void tf.tidy(() => tf.ones([4]).dataSync())).waited).toBeGreaterThan(0)
  const fail = () => {
    throw new Error("no step")
  }
  expect(() => countOperations(fail)).toThrow("no step")
  expect(Object.hasOwn(tf.engine(), "readSync")).toBe(false)
})
