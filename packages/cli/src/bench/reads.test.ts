import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { beforeAll, expect, it } from "vitest"
import { watchReads } from "./reads.ts"

beforeAll(() => Effect.runPromise(Effect.asVoid(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))))

it("measures the wait of host reads, and nothing where nothing is read", () => {
  watchReads((waited) => {
    expect(waited()).toBe(0)
    tf.tidy(() => tf.ones([4]).dataSync())
    expect(waited()).toBeGreaterThan(0)
  })
})

it("lets go of the engine after a failure", () => {
  const { readSync } = tf.engine()
  const fail = () => {
    throw new Error("no step")
  }
  expect(() => watchReads(fail)).toThrow("no step")
  expect(tf.engine().readSync).toBe(readSync)
})
