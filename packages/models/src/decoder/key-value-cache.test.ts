import { expect, it } from "@effect/vitest"
import { ModelRuntime, tf, type Tensor2D, type Tensor3D } from "@plumbline/runtime"
import { bfloat16Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { describe } from "vitest"
import { tinyModel } from "../testing/index.ts"
import { writeHeads } from "./key-value-cache.ts"

const rows = {
  tokens: Int32Array.of(3, 5, 7),
  positions: Int32Array.of(0, 1, 2),
  starts: Int32Array.of(0),
  lengths: Int32Array.of(3),
  table: Int32Array.of(1, 0),
  width: 2,
  held: Int32Array.of(0)
}

describe.for(bfloat16Backends)("a cache in bfloat16, on $name", ({ isThere, layer }) => {
  it.effect.skipIf(!isThere)("takes 2 bytes a number from the start, and stays where it is whatever is written", () =>
    Effect.gen(function* () {
      const { memory } = yield* ModelRuntime
      const model = tinyModel(1)
      const before = memory().allocatedBytes!
      const cache = model.createCache(64, 64)
      // 2 layers of keys and values, 2 heads of 4 numbers; blocks are handed out in larger pieces
      const numbers = 2 * 2 * 64 * 64 * 2 * 4
      expect(memory().allocatedBytes! - before).toBeLessThan(2.2 * numbers)
      const places = () => cache.layers.flatMap(({ keys, values }) => [keys.dataId, values.dataId])
      const first = places()
      tf.dispose(model.step(rows, cache, Int32Array.of(2)) as Tensor2D)
      // as prefixes are, which are trained in float32
      writeHeads(cache, rows, () => {
        const whole = () => tf.mul(tf.ones([3, 2, 4]), 0.3) as Tensor3D
        return { k: whole(), v: whole() }
      })
      expect(places()).toEqual(first)
      expect(cache.layers[1]!.values.dataSync().filter((x) => x !== 0)).toEqual(new Float32Array(24).fill(0.30078125))
      cache.dispose()
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})
