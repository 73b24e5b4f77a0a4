import { tf } from "../../tf.ts"
import type { TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

/** A matrix in memory: element (i, j) at address + 4·(i·row + j·column). */
interface Matrix {
  readonly address: number
  readonly row: number
  readonly column: number
}

const matrix = (address: number, columns: number, transposed: boolean): Matrix =>
  transposed ? { address, row: 1, column: columns } : { address, row: columns, column: 1 }

const multiply = (
  { native }: NativeMemory,
  [m, n, k]: readonly [number, number, number],
  a: Matrix,
  b: Matrix,
  c: number,
  scratch: number
) => native.gemm(m, n, k, a.address, a.row, a.column, b.address, b.row, b.column, c, n, 0, scratch)

/** Of sums over nothing, the products write none. */
const roomFor = (memory: NativeMemory, shape: ReadonlyArray<number>, depth: number): TensorInfo =>
  depth === 0 ? memory.zeros(shape) : memory.allocate(shape)

/** x·Wᵀ: [N, I], [O, I] → [N, O]. */
export const linear = ({ weight, x }: Record<string, TensorInfo>, _: unknown, memory: NativeMemory): TensorInfo => {
  const [rows, depth] = x!.shape as [number, number]
  const columns = weight!.shape[0]!
  const result = roomFor(memory, [rows, columns], depth)
  memory.scratch(memory.native.gemmScratch(columns, depth), (scratch) =>
    multiply(
      memory,
      [rows, columns, depth],
      matrix(memory.address(x!), depth, false),
      matrix(memory.address(weight!), depth, true),
      memory.address(result),
      scratch
    )
  )
  return result
}

const product = (shape: ReadonlyArray<number>): number => shape.reduce((size, length) => size * length, 1)

/**
 * tfjs's BatchMatMul: [… , M, K]·[… , K, N] with either operand transposed; a single matrix is used with every one of
 * the other operand's batch. tfjs-backend-wasm's own is twelve times slower with transposed or batched operands.
 */
export const batchMatMul = (
  { a, b }: Record<string, TensorInfo>,
  { transposeA, transposeB }: { readonly transposeA?: boolean; readonly transposeB?: boolean },
  memory: NativeMemory
): TensorInfo => {
  const [aRows, aColumns] = a!.shape.slice(-2) as [number, number]
  const [bRows, bColumns] = b!.shape.slice(-2) as [number, number]
  const m = transposeA ? aColumns : aRows
  const k = transposeA ? aRows : aColumns
  const n = transposeB ? bRows : bColumns
  if (a!.dtype !== "float32" || b!.dtype !== "float32") throw new TypeError("matMul on wasm takes float32 operands")
  if (k !== (transposeB ? bColumns : bRows)) throw new RangeError(`matMul of [${a!.shape}] and [${b!.shape}]`)
  const aBatch = product(a!.shape.slice(0, -2))
  const bBatch = product(b!.shape.slice(0, -2))
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a!.shape.slice(0, -2), b!.shape.slice(0, -2))
  const count = product(batch)
  if (count !== Math.max(aBatch, bBatch)) throw new RangeError(`matMul of [${a!.shape}] and [${b!.shape}]`)
  const result = roomFor(memory, [...batch, m, n], k)
  memory.scratch(memory.native.gemmScratch(n, k), (scratch) => {
    const [aStart, bStart, start] = [memory.address(a!), memory.address(b!), memory.address(result)]
    for (let i = 0; i < count; i++) {
      const left = matrix(aStart + 4 * (i % aBatch) * m * k, aColumns, transposeA === true)
      const right = matrix(bStart + 4 * (i % bBatch) * k * n, bColumns, transposeB === true)
      multiply(memory, [m, n, k], left, right, start + 4 * i * m * n, scratch)
    }
  })
  return result
}
