import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { bfloat16Backends } from "../testing/backends.ts"
import { tf, type Tensor, type Tensor2D, type Variable } from "../tf.ts"
import { linear, linears } from "./linear.ts"
import { replayed } from "./recording.ts"
import { writeValues } from "./write-values.ts"

const ON_CPU = bfloat16Backends.filter(({ name }) => name === "torch")

describe.for(ON_CPU)("what is recorded on $name", ({ isThere, layer }) => {
  /** [8, 8] whole numbers below 7, which bfloat16 holds, and so do sums of eight. */
  const numbers = (first: number) => Array.from({ length: 64 }, (_, i) => (first + i) % 7)
  const weight = (first: number) => tf.tidy(() => tf.variable(tf.tensor2d(numbers(first), [8, 8]), false))
  const sums = (first: number) =>
    Array.from({ length: 8 }, (_, row) =>
      numbers(first)
        .slice(8 * row, 8 * row + 8)
        .reduce((a, b) => a + b)
    )

  it.skipIf(!isThere)("is recorded anew once the copies of weights that it reads have moved", () =>
    Effect.runPromise(
      Effect.sync(() => {
        const weights = [weight(0), weight(3), weight(5)] as const
        let times = 0
        const work = replayed({ x: tf.zeros([1, 8]) }, ({ x }) => {
          times += 1
          return linear(x as Tensor2D, weights[1] as Tensor as Tensor2D)
        })
        const expectSums = (first: number) => {
          for (const scale of [1, 2]) {
            const x = new Float32Array(8).fill(scale)
            expect([...work.run({ x }).dataSync()]).toEqual(sums(first).map((sum) => scale * sum))
          }
        }
        const together = (some: ReadonlyArray<Variable>) =>
          tf.tidy(() =>
            linears(
              tf.ones([1, 8]),
              some.map((each) => [each as Tensor as Tensor2D, undefined] as const)
            ).map((product) => [...product.dataSync()])
          )
        expectSums(3)
        expect(times).toBe(2)
        // lays the copies side by side, where they stay
        expect(together(weights)).toEqual([0, 3, 5].map(sums))
        expectSums(3)
        expect(times).toBe(4)
        expect(together([weights[1], weights[0]])).toEqual([3, 0].map(sums))
        writeValues(weights[1], Float32Array.from(numbers(2)))
        expectSums(2)
        expect(times).toBe(4)
        work.dispose()
        tf.dispose([...weights])
      }).pipe(Effect.provide(layer))
    )
  )
})
