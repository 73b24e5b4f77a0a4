import { Effect } from "effect"
import { expect, it } from "vitest"
import { computing } from "../computing.ts"
import { ModelRuntime } from "../model-runtime.ts"
import { embedding } from "../ops/embedding.ts"
import { backendSuite } from "../testing/backend-suite.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import { wasmBackend } from "./wasm.ts"

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

const { layerWasm } = ModelRuntime
const outOfMemory = (body: () => unknown) =>
  Effect.runPromise(Effect.flip(computing(Effect.sync(body))).pipe(Effect.provide(layerWasm)))

/** Of each, the bytes are more than one tensor may have; the second by less than what 32 bits leave of it. */
const tooMuch: ReadonlyArray<readonly [string, number, () => Tensor]> = [
  ["BatchMatMul", 4 * 40_000 ** 2, () => tf.matMul(tf.ones([40_000, 1]), tf.ones([1, 40_000]))],
  ["Add", 2 ** 32 + 2 ** 18, () => tf.add(tf.ones([2 ** 16, 1]), tf.ones([1, 2 ** 14 + 1]))],
  ["Tile", 2 ** 30, () => tf.tile(tf.ones([2 ** 14]), [2 ** 14])]
]

it.each(tooMuch)(
  "refuses what no memory has room for, names the kernel and leaves nothing: %s",
  async (name, bytes, body) => {
    await Effect.runPromise(Effect.provide(ModelRuntime, layerWasm))
    const kept = tf.tensor1d([1, 2, 3])
    const before = [tf.memory().numTensors, tf.memory().numDataBuffers]
    expect(await outOfMemory(() => tf.tidy(body))).toMatchObject({
      _tag: "OutOfMemory",
      operator: name,
      bytesAsked: bytes
    })
    expect([tf.memory().numTensors, tf.memory().numDataBuffers]).toEqual(before)
    const squares = tf.square(kept)
    expect([...kept.dataSync(), ...squares.dataSync()]).toEqual([1, 2, 3, 1, 4, 9])
    tf.dispose([kept, squares])
  }
)

it("refuses what there is no room left for, and takes it where there is room again", async () => {
  await Effect.runPromise(Effect.provide(ModelRuntime, layerWasm))
  const backend = wasmBackend()
  // memory that nothing is written to costs the machine none
  const make = (): object => backend.makeOutput([3 * 2 ** 26], "float32").dataId
  const free = (dataId: object) => tf.engine().findBackend("wasm").disposeData(dataId)
  const whole = [make(), make(), make()]
  expect(await outOfMemory(make)).toMatchObject({ _tag: "OutOfMemory", bytesAsked: 3 * 2 ** 28 })
  free(whole.pop()!)
  whole.push(make())
  expect(await outOfMemory(make)).toMatchObject({ _tag: "OutOfMemory" })
  whole.forEach(free)
})
