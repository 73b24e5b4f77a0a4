import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { beforeAll, expect, it } from "vitest"
import { countOperations } from "./operations.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))))

it("counts what is taped, what runs, and nothing afterwards", () => {
  const x = tf.variable(tf.scalar(3))
  const square = () => tf.tidy(() => void tf.variableGrads(() => tf.exp(tf.neg(x)) as tf.Scalar, [x]))
  const { taped, tapeEntries, total } = countOperations(square)
  // forward: neg, exp; backward runs at least the gradients of both and starts from ones
  expect(taped).toBe(2)
  // exp keeps its result
  expect(tapeEntries).toBe(3)
  expect(total).toBeGreaterThanOrEqual(4)
  expect(countOperations(() => undefined)).toEqual({ taped: 0, tapeEntries: 0, total: 0 })
  x.dispose()
})

it("lets go of the engine after a failure", () => {
  const engine: object = tf.engine()
  const before = Reflect.get(engine, "clone")
  const fail = () => {
    throw new Error("no step")
  }
  expect(() => countOperations(fail)).toThrow("no step")
  expect(Reflect.get(engine, "clone")).toBe(before)
})
