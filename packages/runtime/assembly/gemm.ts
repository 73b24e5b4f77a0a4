// C = A·B in the manner of Goto & van de Geijn 2008 ("Anatomy of high-performance matrix multiplication"): B is packed
// into panels of 8 columns, A into panels of 6 rows, and a 6×8 tile of C lives in registers. Packing reads any strides,
// so transposed operands cost the same. Fused multiply-add where the processor has it (relaxed SIMD).

import { loadUpTo, storeUpTo, sumLanes } from "./vector"

const TILE_ROWS: i32 = 6
const TILE_COLUMNS: i32 = 8
/** Depth of a packed block: one panel of A and one of B stay in the first-level cache. */
const BLOCK_DEPTH: i32 = 256
const BLOCK_ROWS: i32 = 120
const BLOCK_COLUMNS: i32 = 2048
/** With at most this many rows, packing B costs more than it saves. */
const FEW_ROWS: i32 = 4

/** Bytes of scratch memory `gemm` needs for any number of rows. */
export function gemmScratch(columns: i32, depth: i32): i32 {
  const kept = min(depth, BLOCK_DEPTH)
  const packed = ((min(columns, BLOCK_COLUMNS) + TILE_COLUMNS - 1) / TILE_COLUMNS) * TILE_COLUMNS
  return (packed * kept + BLOCK_ROWS * kept + TILE_ROWS * TILE_COLUMNS) * 4
}

/**
 * C = A·B, or C += A·B.
 *
 * @param a       [m, k], element (i, p) at a + 4·(i·aRow + p·aColumn)
 * @param b       [k, n], likewise
 * @param c       [m, n], rows cRow elements apart, columns adjacent
 * @param scratch gemmScratch(n, k) bytes
 */
export function gemm(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aRow: i32,
  aColumn: i32,
  b: usize,
  bRow: i32,
  bColumn: i32,
  c: usize,
  cRow: i32,
  accumulate: bool,
  scratch: usize
): void {
  const fewRows = m <= FEW_ROWS && aColumn == 1 && !accumulate
  if (fewRows && bRow == 1) {
    dotProducts(m, n, k, a, <usize>aRow * 4, b, <usize>bColumn * 4, c, <usize>cRow * 4)
    return
  }
  if (fewRows && bColumn == 1) {
    weightedRows(m, n, k, a, <usize>aRow * 4, b, <usize>bRow * 4, c, <usize>cRow * 4)
    return
  }
  const kept = min(k, BLOCK_DEPTH)
  const edge = scratch + <usize>(BLOCK_ROWS * kept * 4)
  const packedB = edge + TILE_ROWS * TILE_COLUMNS * 4
  for (let j = 0; j < n; j += BLOCK_COLUMNS) {
    const columns = min(BLOCK_COLUMNS, n - j)
    for (let p = 0; p < k; p += BLOCK_DEPTH) {
      const depth = min(BLOCK_DEPTH, k - p)
      const add = accumulate || p > 0
      const fromB = b + <usize>p * <usize>bRow * 4 + <usize>j * <usize>bColumn * 4
      packB(fromB, <usize>bRow * 4, <usize>bColumn * 4, depth, columns, packedB)
      for (let i = 0; i < m; i += BLOCK_ROWS) {
        const rows = min(BLOCK_ROWS, m - i)
        const fromA = a + <usize>i * <usize>aRow * 4 + <usize>p * <usize>aColumn * 4
        packA(fromA, <usize>aRow * 4, <usize>aColumn * 4, rows, depth, scratch)
        const to = c + <usize>i * <usize>cRow * 4 + <usize>j * 4
        multiplyBlock(rows, columns, depth, scratch, packedB, to, <usize>cRow * 4, add, edge)
      }
    }
  }
}

function multiplyBlock(
  rows: i32,
  columns: i32,
  depth: i32,
  a: usize,
  b: usize,
  c: usize,
  rowBytes: usize,
  add: bool,
  edge: usize
): void {
  for (let j = 0; j < columns; j += TILE_COLUMNS) {
    const panelB = b + <usize>j * <usize>depth * 4
    const width = min(TILE_COLUMNS, columns - j)
    for (let i = 0; i < rows; i += TILE_ROWS) {
      const panelA = a + <usize>i * <usize>depth * 4
      const height = min(TILE_ROWS, rows - i)
      const to = c + <usize>i * rowBytes + <usize>j * 4
      if (height == TILE_ROWS && width == TILE_COLUMNS) {
        tile(panelA, panelB, depth, to, rowBytes, add)
      } else {
        tile(panelA, panelB, depth, edge, TILE_COLUMNS * 4, false)
        copyEdge(edge, height, width, to, rowBytes, add)
      }
    }
  }
}

function copyEdge(edge: usize, height: i32, width: i32, to: usize, rowBytes: usize, add: bool): void {
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const at = to + <usize>i * rowBytes + <usize>j * 4
      const value = load<f32>(edge + <usize>(i * TILE_COLUMNS + j) * 4)
      store<f32>(at, add ? load<f32>(at) + value : value)
    }
  }
}

/** The 6×8 tile: twelve accumulators, two columns vectors and one broadcast fill the fifteen registers V8 leaves us. */
function tile(a: usize, b: usize, depth: i32, c: usize, rowBytes: usize, add: bool): void {
  let c00 = f32x4.splat(0)
  let c01 = c00
  let c10 = c00
  let c11 = c00
  let c20 = c00
  let c21 = c00
  let c30 = c00
  let c31 = c00
  let c40 = c00
  let c41 = c00
  let c50 = c00
  let c51 = c00
  for (let p = 0; p < depth; p++) {
    const left = v128.load(b)
    const right = v128.load(b, 16)
    let x = v128.load32_splat(a)
    c00 = f32x4.relaxed_madd(x, left, c00)
    c01 = f32x4.relaxed_madd(x, right, c01)
    x = v128.load32_splat(a, 4)
    c10 = f32x4.relaxed_madd(x, left, c10)
    c11 = f32x4.relaxed_madd(x, right, c11)
    x = v128.load32_splat(a, 8)
    c20 = f32x4.relaxed_madd(x, left, c20)
    c21 = f32x4.relaxed_madd(x, right, c21)
    x = v128.load32_splat(a, 12)
    c30 = f32x4.relaxed_madd(x, left, c30)
    c31 = f32x4.relaxed_madd(x, right, c31)
    x = v128.load32_splat(a, 16)
    c40 = f32x4.relaxed_madd(x, left, c40)
    c41 = f32x4.relaxed_madd(x, right, c41)
    x = v128.load32_splat(a, 20)
    c50 = f32x4.relaxed_madd(x, left, c50)
    c51 = f32x4.relaxed_madd(x, right, c51)
    a += TILE_ROWS * 4
    b += TILE_COLUMNS * 4
  }
  storeRow(c, c00, c01, add)
  storeRow(c + rowBytes, c10, c11, add)
  storeRow(c + 2 * rowBytes, c20, c21, add)
  storeRow(c + 3 * rowBytes, c30, c31, add)
  storeRow(c + 4 * rowBytes, c40, c41, add)
  storeRow(c + 5 * rowBytes, c50, c51, add)
}

function storeRow(to: usize, left: v128, right: v128, add: bool): void {
  v128.store(to, add ? f32x4.add(v128.load(to), left) : left)
  v128.store(to, add ? f32x4.add(v128.load(to, 16), right) : right, 16)
}

/** [depth, columns] to panels [columns/8][depth][8], the last one filled up with zeros. */
function packB(b: usize, rowBytes: usize, columnBytes: usize, depth: i32, columns: i32, to: usize): void {
  for (let j = 0; j < columns; j += TILE_COLUMNS) {
    const width = min(TILE_COLUMNS, columns - j)
    packPanel(b + <usize>j * columnBytes, columnBytes, rowBytes, width, TILE_COLUMNS, depth, to)
    to += <usize>(depth * TILE_COLUMNS * 4)
  }
}

/** [rows, depth] to panels [rows/6][depth][6], the last one filled up with zeros. */
function packA(a: usize, rowBytes: usize, columnBytes: usize, rows: i32, depth: i32, to: usize): void {
  for (let i = 0; i < rows; i += TILE_ROWS) {
    const height = min(TILE_ROWS, rows - i)
    packPanel(a + <usize>i * rowBytes, rowBytes, columnBytes, height, TILE_ROWS, depth, to)
    to += <usize>(depth * TILE_ROWS * 4)
  }
}

/** One panel: `size` lines (`count` of them real) side by side, step by step along the depth. */
function packPanel(
  from: usize,
  lineBytes: usize,
  stepBytes: usize,
  count: i32,
  size: i32,
  depth: i32,
  to: usize
): void {
  if (count == size && lineBytes == 4) packAdjacentLines(from, stepBytes, size, depth, to)
  else if (count == size && stepBytes == 4) packAdjacentSteps(from, lineBytes, size, depth, to)
  else packAny(from, lineBytes, stepBytes, 0, count, size, depth, to)
}

function packAdjacentLines(from: usize, stepBytes: usize, size: i32, depth: i32, to: usize): void {
  for (let p = 0; p < depth; p++) {
    v128.store(to, v128.load(from))
    if (size == TILE_COLUMNS) v128.store(to, v128.load(from, 16), 16)
    else store<u64>(to, load<u64>(from, 16), 16)
    from += stepBytes
    to += <usize>size * 4
  }
}

function packAdjacentSteps(from: usize, lineBytes: usize, size: i32, depth: i32, to: usize): void {
  const outBytes = <usize>size * 4
  const fifth = 4 * lineBytes
  let p = 0
  for (; p + 4 <= depth; p += 4) {
    transpose4x4(from, lineBytes, to, outBytes)
    if (size == TILE_COLUMNS) transpose4x4(from + fifth, lineBytes, to + 16, outBytes)
    else transpose2x4(from + fifth, lineBytes, to + 16, outBytes)
    from += 16
    to += 4 * outBytes
  }
  packAny(from, lineBytes, 4, p, size, size, depth, to)
}

function packAny(
  from: usize,
  lineBytes: usize,
  stepBytes: usize,
  start: i32,
  count: i32,
  size: i32,
  depth: i32,
  to: usize
): void {
  for (let p = start; p < depth; p++) {
    for (let line = 0; line < size; line++) {
      const value: f32 = line < count ? load<f32>(from + <usize>line * lineBytes) : 0
      store<f32>(to + <usize>line * 4, value)
    }
    from += stepBytes
    to += <usize>size * 4
  }
}

export function transpose4x4(from: usize, rowBytes: usize, to: usize, outBytes: usize): void {
  const a = v128.load(from)
  const b = v128.load(from + rowBytes)
  const c = v128.load(from + 2 * rowBytes)
  const d = v128.load(from + 3 * rowBytes)
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5)
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7)
  const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5)
  const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7)
  v128.store(to, v128.shuffle<f64>(ab0, cd0, 0, 2))
  v128.store(to + outBytes, v128.shuffle<f64>(ab0, cd0, 1, 3))
  v128.store(to + 2 * outBytes, v128.shuffle<f64>(ab1, cd1, 0, 2))
  v128.store(to + 3 * outBytes, v128.shuffle<f64>(ab1, cd1, 1, 3))
}

function transpose2x4(from: usize, rowBytes: usize, to: usize, outBytes: usize): void {
  const a = v128.load(from)
  const b = v128.load(from + rowBytes)
  const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5)
  const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7)
  v128.store_lane<u64>(to, ab0, 0)
  v128.store_lane<u64>(to + outBytes, ab0, 1)
  v128.store_lane<u64>(to + 2 * outBytes, ab1, 0)
  v128.store_lane<u64>(to + 3 * outBytes, ab1, 1)
}

/** Few rows of A against rows of Bᵀ that lie whole in memory, as in decoding: one pass over B, nothing packed. */
function dotProducts(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aBytes: usize,
  b: usize,
  bBytes: usize,
  c: usize,
  cBytes: usize
): void {
  for (let j = 0; j < n; j++) {
    const line = b + <usize>j * bBytes
    for (let i = 0; i < m; i++) {
      const at = c + <usize>i * cBytes + <usize>j * 4
      store<f32>(at, dot(a + <usize>i * aBytes, line, k))
    }
  }
}

/** Few rows of A against a B whose rows lie whole in memory: each row of C is a weighted sum of them. */
function weightedRows(
  m: i32,
  n: i32,
  k: i32,
  a: usize,
  aBytes: usize,
  b: usize,
  bBytes: usize,
  c: usize,
  cBytes: usize
): void {
  for (let i = 0; i < m; i++) {
    const to = c + <usize>i * cBytes
    memory.fill(to, 0, <usize>n * 4)
    for (let p = 0; p < k; p++) {
      const weight = f32x4.splat(load<f32>(a + <usize>i * aBytes + <usize>p * 4))
      const line = b + <usize>p * bBytes
      for (let j = 0; j < n; j += 4) {
        const at = <usize>j * 4
        storeUpTo(to + at, f32x4.relaxed_madd(weight, loadUpTo(line + at, n - j), loadUpTo(to + at, n - j)), n - j)
      }
    }
  }
}

export function dot(a: usize, b: usize, k: i32): f32 {
  let first = f32x4.splat(0)
  let second = first
  let third = first
  let fourth = first
  let p = 0
  for (; p + 16 <= k; p += 16) {
    first = f32x4.relaxed_madd(v128.load(a), v128.load(b), first)
    second = f32x4.relaxed_madd(v128.load(a, 16), v128.load(b, 16), second)
    third = f32x4.relaxed_madd(v128.load(a, 32), v128.load(b, 32), third)
    fourth = f32x4.relaxed_madd(v128.load(a, 48), v128.load(b, 48), fourth)
    a += 64
    b += 64
  }
  const sums = f32x4.add(f32x4.add(first, second), f32x4.add(third, fourth))
  let total = sumLanes(sums)
  for (; p < k; p++) {
    total += load<f32>(a) * load<f32>(b)
    a += 4
    b += 4
  }
  return total
}
