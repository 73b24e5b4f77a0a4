import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { beforeAll, expect, it } from "vitest"
import { deviceNoise } from "./noise.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))))

const drawn = (seed: number, ...shapes: ReadonlyArray<ReadonlyArray<number>>) => {
  const noise = deviceNoise(seed)
  const tensors = shapes.map((shape) => noise.normal(shape, 2))
  const values = tensors.map((tensor) => tensor.dataSync() as Float32Array)
  tf.dispose(tensors)
  noise.dispose()
  return values
}

it("is normal, of the scale asked for, in any amount", () => {
  const before = tf.memory().numTensors
  // more than are drawn
  const [values] = drawn(1, [1200, 1024])
  const mean = values!.reduce((sum, value) => sum + value, 0) / values!.length
  const variance = values!.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values!.length
  // five standard errors: 2/√n and 4·√(2/n), n the 2²⁰ + 7 that are drawn
  expect(Math.abs(mean)).toBeLessThan(0.01)
  expect(Math.abs(variance - 4)).toBeLessThan(0.028)
  expect(tf.memory().numTensors).toBe(before)
})

it("goes on where it ended, and follows the seed", () => {
  const [both] = drawn(1, [2, 3])
  const parts = drawn(1, [1, 3], [3])
  expect([...both!]).toEqual(parts.flatMap((part) => [...part]))
  expect([...drawn(2, [2, 3])[0]!]).not.toEqual([...both!])
})
