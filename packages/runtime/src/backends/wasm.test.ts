import { Effect } from "effect"
import { expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { embedding } from "../ops/embedding.ts"
import { backendSuite } from "../testing/backend-suite.ts"
import { tf, type Tensor2D } from "../tf.ts"

backendSuite("wasm", ModelRuntime.layerWasm)

it("frees the scratch memory of its kernels", async () => {
  const { memory } = await Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerWasm))
  const weight = tf.ones([4, 1]) as Tensor2D
  const ids = new Int32Array(2 ** 18)
  const run = () => embedding(weight, ids).dispose()
  run()
  const before = memory().reservedBytes
  // 1 MiB of ids each time: 100 MiB, if they stayed.
  for (let i = 0; i < 100; i++) run()
  expect(memory().reservedBytes).toBe(before)
  weight.dispose()
})
