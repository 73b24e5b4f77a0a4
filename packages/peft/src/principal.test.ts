import { describe, expect, it } from "@effect/vitest"
import { ModelRuntime, philoxStream, type Tensor2D, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { dot, orthonormal } from "./orthonormal.ts"
import { principalPart } from "./principal.ts"
import { symmetricEigen } from "./symmetric-eigen.ts"

const stream = philoxStream(3, "principal")

/** U·diag(values)·Vᵀ of random orthonormal U [O, …], V [I, …]: a matrix whose singular values are known. */
const withValues = (outputs: number, inputs: number, values: ReadonlyArray<number>) => {
  const left = orthonormal(stream.child("left").normal, values.length, outputs)
  const right = orthonormal(stream.child("right").normal, values.length, inputs)
  const at = (o: number, i: number) => values.reduce((sum, value, k) => sum + left[k]![o]! * value * right[k]![i]!, 0)
  const numbers = Float32Array.from({ length: outputs * inputs }, (_, n) => at(Math.floor(n / inputs), n % inputs))
  return { left, right, weight: tf.tensor2d(numbers, [outputs, inputs]) as Tensor2D }
}

const check = (name: string, body: () => void) =>
  it.effect(name, () => Effect.sync(body).pipe(Effect.provide(ModelRuntime.layerWasm)))

describe("the principal part of a matrix", () => {
  const falling = Array.from({ length: 40 }, (_, k) => 8 * 0.85 ** k)
  const cases = [
    { outputs: 60, inputs: 41, values: falling, rank: 4 },
    { outputs: 41, inputs: 60, values: falling, rank: 4 },
    { outputs: 5, inputs: 7, values: [5, 3, 2, 1, 0.5], rank: 5 },
    // of rank 2, in small numbers and large ones
    { outputs: 30, inputs: 30, values: [1e3, 1e-1], rank: 2 }
  ]
  for (const { inputs, outputs, rank, values } of cases) {
    check(`has the ${rank} largest singular values and vectors of a matrix [${outputs}, ${inputs}]`, () => {
      const { left, right, weight } = withValues(outputs, inputs, values)
      const part = principalPart(weight, rank, stream)
      expect(part.values).toHaveLength(rank)
      for (let k = 0; k < rank; k++) {
        // float32 products: 6e-8 of the largest, times the root of the length
        expect(Math.abs(part.values[k]! - values[k]!)).toBeLessThan(1e-6 * values[0]!)
        const [alongLeft, alongRight] = [dot(part.left[k]!, left[k]!), dot(part.right[k]!, right[k]!)]
        expect(Math.abs(alongLeft)).toBeCloseTo(1, 4)
        // the same sign on both sides
        expect(alongLeft * alongRight).toBeCloseTo(1, 4)
      }
      weight.dispose()
    })
  }

  check("of a matrix of zeros is zero and no NaN, and a matrix has no more values than its smaller side", () => {
    const zero = tf.zeros([6, 4]) as Tensor2D
    const part = principalPart(zero, 2, stream)
    expect(part.values).toEqual([0, 0])
    expect(part.left.flatMap((vector) => [...vector])).toEqual(Array.from({ length: 12 }, () => 0))
    expect(() => principalPart(zero, 5, stream)).toThrow("has no 5 singular values")
    zero.dispose()
  })
})

it("eigenvalues of a symmetric matrix", () => {
  // [[2, 1], [1, 2]] has 3 along (1, 1) and 1 along (1, −1)
  const { values, vectors } = symmetricEigen([
    [2, 1],
    [1, 2]
  ])
  expect(values.map((value) => Math.round(value * 1e12) / 1e12)).toEqual([3, 1])
  expect(vectors[0]![0]! / vectors[0]![1]!).toBeCloseTo(1, 12)
  expect(vectors[1]![0]! / vectors[1]![1]!).toBeCloseTo(-1, 12)
  const diagonal = symmetricEigen([
    [1, 0, 0],
    [0, 4, 0],
    [0, 0, 2]
  ])
  expect(diagonal.values).toEqual([4, 2, 1])
})
