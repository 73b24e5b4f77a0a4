import type { RandomStream } from "@plumbline/runtime"
import { orthonormal } from "../orthonormal.ts"
import type { LinearModule } from "../targets.ts"

/**
 * A and B whose rows and columns lie in the two halves of a random orthogonal basis of the r dimensions between them,
 * so that B·A = 0 up to rounding although neither is 0: A = Q_evenᵀ·N/10, B = N'·Q_odd/10.
 *
 * @see https://datta0.github.io/posts/rethink-lora-init/#orthogonal-initialisation, which PEFT follows
 */
export const orthogonalPair = ({ inputs, outputs }: LinearModule, rank: number) => {
  const half = rank / 2
  // both matrices see one basis
  const basis = (module: RandomStream) => orthonormal(module.child("basis").normal, rank, rank)
  return {
    a: ({ normal }: RandomStream, module: RandomStream) => {
      const q = basis(module)
      return product(
        rank,
        inputs,
        half,
        (r, k) => q[2 * k]![r]!,
        (k, i) => normal(i * half + k) / 10
      )
    },
    b: ({ normal }: RandomStream, module: RandomStream) => {
      const q = basis(module)
      return product(
        outputs,
        rank,
        half,
        (o, k) => normal(o * half + k) / 10,
        (k, r) => q[2 * k + 1]![r]!
      )
    }
  }
}

type Entry = (row: number, column: number) => number

/** [rows, columns] float32 of left [rows, inner] times right [inner, columns]. */
const product = (rows: number, columns: number, inner: number, left: Entry, right: Entry): Float32Array => {
  const lefts = Float64Array.from({ length: rows * inner }, (_, i) => left(Math.floor(i / inner), i % inner))
  const rights = Float64Array.from({ length: inner * columns }, (_, i) => right(Math.floor(i / columns), i % columns))
  return Float32Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns]
    let sum = 0
    for (let k = 0; k < inner; k++) sum += lefts[row * inner + k]! * rights[k * columns + column]!
    return sum
  })
}
