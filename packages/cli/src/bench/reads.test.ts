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

it("measures the wait for reads that were queued, where a backend has these", () => {
  const backend = tf.engine().backend as unknown as { readLater?: () => () => number }
  const slowly = () => {
    const end = performance.now() + 2
    while (performance.now() < end);
    return 7
  }
  Object.setPrototypeOf(
    backend,
    Object.create(Object.getPrototypeOf(backend), { readLater: { get: () => () => slowly } })
  )
  try {
    watchReads((waited) => {
      const read = backend.readLater!()
      expect(waited()).toBe(0)
      expect(read()).toBe(7)
      expect(waited()).toBeGreaterThan(0.0019)
    })
    expect(Object.hasOwn(backend, "readLater")).toBe(false)
  } finally {
    Object.setPrototypeOf(backend, Object.getPrototypeOf(Object.getPrototypeOf(backend)))
  }
})

it("lets go of the engine after a failure", () => {
  const { readSync } = tf.engine()
  const fail = () => {
    throw new Error("no step")
  }
  expect(() => watchReads(fail)).toThrow("no step")
  expect(tf.engine().readSync).toBe(readSync)
})
