import { transpose4x4 } from "./gemm"
import { loadUpTo, storeUpTo } from "./vector"

/** out[i] = x[index[i]] for rows of `width` numbers. */
export function gatherRows(x: usize, index: usize, out: usize, count: i32, width: i32): void {
  const bytes = <usize>width * 4
  for (let i = 0; i < count; i++) {
    memory.copy(out + <usize>i * bytes, x + <usize>load<i32>(index + <usize>i * 4) * bytes, bytes)
  }
}

/** out[index[i]] += x[i], in the order of i. */
export function scatterAddRows(x: usize, index: usize, out: usize, count: i32, width: i32): void {
  const bytes = <usize>width * 4
  for (let row = 0; row < count; row++) {
    const to = out + <usize>load<i32>(index + <usize>row * 4) * bytes
    for (let i = 0; i < width; i += 4) {
      const at = <usize>i * 4
      storeUpTo(to + at, f32x4.add(loadUpTo(to + at, width - i), loadUpTo(x + at, width - i)), width - i)
    }
    x += bytes
  }
}

/** out[i] = x[i]·factors[i] for rows of `width` numbers. */
export function scaleRows(x: usize, factors: usize, out: usize, count: i32, width: i32): void {
  for (let row = 0; row < count; row++) {
    const factor = f32x4.splat(load<f32>(factors + <usize>row * 4))
    for (let i = 0; i < width; i += 4) {
      const at = <usize>(row * width + i) * 4
      storeUpTo(out + at, f32x4.mul(loadUpTo(x + at, width - i), factor), width - i)
    }
  }
}

/** [rows, columns] → [columns, rows], in tiles of 32×32 that stay in the cache. */
export function transpose(x: usize, out: usize, rows: i32, columns: i32): void {
  for (let i = 0; i < rows; i += 32) {
    for (let j = 0; j < columns; j += 32) {
      transposeTile(x, out, i, min(i + 32, rows), j, min(j + 32, columns), rows, columns)
    }
  }
}

function transposeTile(
  x: usize,
  out: usize,
  top: i32,
  bottom: i32,
  left: i32,
  right: i32,
  rows: i32,
  columns: i32
): void {
  for (let i = top; i < bottom; i += 4) {
    for (let j = left; j < right; j += 4) {
      const from = x + (<usize>i * <usize>columns + <usize>j) * 4
      const to = out + (<usize>j * <usize>rows + <usize>i) * 4
      if (i + 4 <= bottom && j + 4 <= right) {
        transpose4x4(from, <usize>columns * 4, to, <usize>rows * 4)
        continue
      }
      for (let a = 0; a < min(4, bottom - i); a++) {
        for (let b = 0; b < min(4, right - j); b++) {
          store<f32>(to + <usize>(b * rows + a) * 4, load<f32>(from + <usize>(a * columns + b) * 4))
        }
      }
    }
  }
}
