import { describe, expect, it } from "vitest"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import { expectClose, gradientsOf, leavesNothing, noise } from "./tensors.ts"

/** Row-major product by the definition, in float64. */
const productOf = (a: Tensor, b: Tensor): Array<number> => {
  const [m, k] = a.shape as [number, number]
  const n = b.shape[1]!
  const [left, right] = [a.dataSync(), b.dataSync()]
  return Array.from({ length: m * n }, (_, at) => {
    let sum = 0
    for (let p = 0; p < k; p++) sum += left[Math.floor(at / n) * k + p]! * right[p * n + (at % n)]!
    return sum
  })
}

const gatherRepeated = (x: Tensor) => tf.gather(x, tf.tensor1d([1, 1, 3], "int32"))

/** Kernels of tfjs that the packages above use, some of which a backend of ours replaces. */
export const tfjsSuite = (): void => {
  describe("matMul", () => {
    it.each([
      [1, 1, 1],
      [5, 7, 3],
      [6, 8, 4],
      [13, 9, 300],
      [125, 17, 5],
      [3, 2053, 4]
    ])("of [%i, ·] and [·, %i] with depth %i, either operand transposed", (m, n, k) => {
      leavesNothing(() => {
        const [a, b] = [noise<Tensor2D>([m, k], "a"), noise<Tensor2D>([k, n], "b")]
        const expected = productOf(a, b)
        const [aT, bT] = [tf.transpose(a), tf.transpose(b)]
        expectClose(tf.matMul(a, b), expected, 1e-5)
        expectClose(tf.matMul(aT, b, true), expected, 1e-5)
        expectClose(tf.matMul(a, bT, false, true), expected, 1e-5)
        expectClose(tf.matMul(aT, bT, true, true), expected, 1e-5)
      })
    })

    it("of batches, and of a batch with one matrix", () => {
      leavesNothing(() => {
        const [a, b] = [noise([2, 3, 4, 5], "a"), noise([2, 3, 5, 6], "b")]
        const expected = tf
          .unstack(tf.reshape(a, [6, 4, 5]))
          .flatMap((matrix, i) => productOf(matrix, tf.unstack(tf.reshape(b, [6, 5, 6]))[i]!))
        expectClose(tf.matMul(a, b), expected, 1e-5)
        expect(tf.matMul(a, b).shape).toEqual([2, 3, 4, 6])
        const one = noise([5, 6], "one")
        const shared = tf.unstack(tf.reshape(a, [6, 4, 5])).flatMap((matrix) => productOf(matrix, one))
        expectClose(tf.matMul(tf.reshape(a, [6, 4, 5]), tf.reshape(one, [1, 5, 6])), shared, 1e-5)
      })
    })
  })

  describe("other kernels of tfjs", () => {
    it("transpose: matrices of any size, and axes of a tensor of rank 3", () => {
      leavesNothing(() => {
        const x = noise<Tensor2D>([37, 70], "x")
        const values = x.dataSync()
        expectClose(
          tf.transpose(x),
          Array.from({ length: 2590 }, (_, i) => values[(i % 37) * 70 + Math.floor(i / 37)]!),
          0
        )
        expectClose(tf.transpose(tf.tensor3d([1, 2, 3, 4, 5, 6], [1, 2, 3]), [2, 0, 1]), [1, 4, 2, 5, 3, 6], 0)
        expectClose(tf.transpose(tf.tensor2d([[true, false]], [1, 2], "bool")), [1, 0], 0)
      })
    })

    it("gather: its gradient adds up repeated rows", () => {
      leavesNothing(() => {
        expectClose(gradientsOf(gatherRepeated, [tf.zeros([4])], tf.tensor1d([1, 2, 4]))[0]!, [0, 3, 0, 4], 0)
        const rows = tf.tensor2d([1, 2, 4, 8, 16, 32], [3, 2])
        expectClose(gradientsOf(gatherRepeated, [tf.zeros([4, 2])], rows)[0]!, [0, 0, 5, 10, 0, 0, 16, 32], 0)
      })
    })

    it("unsortedSegmentSum: leaves out negative segments", () => {
      leavesNothing(() => {
        const sums = tf.unsortedSegmentSum(tf.tensor1d([1, 2, 4, 8]), tf.tensor1d([2, -1, 0, 2], "int32"), 3)
        expectClose(sums, [4, 0, 9], 0)
      })
    })

    it("softplus, logSumExp, cumsum, where, pad: values by hand", () => {
      leavesNothing(() => {
        expectClose(tf.softplus(tf.tensor1d([-100, 0, 100])), [0, Math.LN2, 100])
        expectClose(tf.logSumExp(tf.tensor2d([[1000, 1000]]), 1), [1000 + Math.LN2])
        expectClose(tf.cumsum(tf.tensor1d([1, 2, 3])), [1, 3, 6], 0)
        expectClose(tf.where(tf.tensor1d([true, false], "bool"), tf.tensor1d([1, 2]), tf.tensor1d([3, 4])), [1, 4], 0)
        expectClose(
          tf.pad(tf.tensor2d([[1, 2]]), [
            [0, 1],
            [1, 0]
          ]),
          [0, 1, 2, 0, 0, 0],
          0
        )
      })
    })
  })
}
