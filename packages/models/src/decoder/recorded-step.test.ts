import { describe, expect, it } from "@effect/vitest"
import { linears, tf, type Tensor2D } from "@plumbline/runtime"
import { bfloat16Backends } from "@plumbline/runtime/testing"
import { Effect } from "effect"
import { fixedRows } from "../testing/fixed-rows.ts"
import { tinyModel } from "../testing/index.ts"

describe.for(bfloat16Backends)("a recorded step, on $name", ({ isThere, layer }) => {
  it.effect.skipIf(!isThere)("is recorded anew where a weight has moved, and once", () =>
    Effect.sync(() => {
      const model = tinyModel(5)
      const rows = fixedRows(model, 1, 16)
      const step = (token: number) => {
        const held = rows.lengths[0]!
        const one = (index: ReadonlyArray<number>) => {
          rows.lengths[0] = held
          const tokens = Int32Array.of(token)
          const span = { tokens, positions: Int32Array.of(held), starts: Int32Array.of(0), lengths: Int32Array.of(1) }
          const made = rows.step(span, Int32Array.from(index))
          const values = [...made.dataSync()]
          made.dispose()
          return values
        }
        const recorded = one([0])
        // logits that are wanted twice are not recorded
        const plain = one([0, 0]).slice(0, recorded.length)
        recorded.forEach((logit, i) => expect(Math.abs(logit - plain[i]!)).toBeLessThanOrEqual(2 ** -6))
      }
      const made = () => [...rows.cache.recordings.values()].flatMap((each) => [...each.values()])
      const prompt = Int32Array.of(3, 9)
      rows
        .step(
          { tokens: prompt, positions: Int32Array.of(0, 1), starts: Int32Array.of(0), lengths: Int32Array.of(2) },
          Int32Array.of(1)
        )
        .dispose()
      step(4)
      const [first] = made()
      step(8)
      expect(made()).toEqual([first])
      // nothing else lays these two side by side
      const names = [0, 1].map((block) => `model.layers.${block}.self_attn.o_proj.weight`)
      tf.dispose([
        ...linears(
          tf.ones([1, 16]),
          names.map((name) => [model.weights.tensor(name) as Tensor2D, undefined])
        )
      ])
      step(5)
      const [second] = made()
      expect(second).not.toBe(first)
      step(6)
      expect(made()).toEqual([second])
      rows.dispose()
      model.dispose()
    }).pipe(Effect.provide(layer))
  )
})
