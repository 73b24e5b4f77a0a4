import { loadUpTo, storeUpTo, sumLanes } from "./vector"

/** out = x / √(mean(x²) + ε) · weight, for each of `rows` rows of `width` numbers. */
export function rmsNorm(x: usize, weight: usize, out: usize, rows: i32, width: i32, epsilon: f32): void {
  for (let row = 0; row < rows; row++) {
    const start = <usize>row * <usize>width * 4
    const scale = f32x4.splat(inverseDeviation(x + start, width, 0, epsilon))
    for (let i = 0; i < width; i += 4) {
      const at = start + <usize>i * 4
      const scaled = f32x4.mul(loadUpTo(x + at, width - i), scale)
      storeUpTo(out + at, f32x4.mul(scaled, loadUpTo(weight + <usize>i * 4, width - i)), width - i)
    }
  }
}

/** dx, and dweight added up over the rows in order; dweight must start at 0. */
export function rmsNormGradient(
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dweight: usize,
  rows: i32,
  width: i32,
  epsilon: f32
): void {
  for (let row = 0; row < rows; row++) {
    const start = <usize>row * <usize>width * 4
    const scale = f32x4.splat(inverseDeviation(x + start, width, 0, epsilon))
    normGradientRow(x + start, weight, dy + start, dx + start, dweight, 0, width, 0, scale)
  }
}

/** out = (x − mean) / √(var + ε) · weight + bias. */
export function layerNorm(x: usize, weight: usize, bias: usize, out: usize, rows: i32, width: i32, epsilon: f32): void {
  for (let row = 0; row < rows; row++) {
    const start = <usize>row * <usize>width * 4
    const mean = meanOf(x + start, width)
    const scale = f32x4.splat(inverseDeviation(x + start, width, mean, epsilon))
    for (let i = 0; i < width; i += 4) {
      const at = start + <usize>i * 4
      const column = <usize>i * 4
      const scaled = f32x4.mul(f32x4.sub(loadUpTo(x + at, width - i), f32x4.splat(mean)), scale)
      const weighted = f32x4.mul(scaled, loadUpTo(weight + column, width - i))
      storeUpTo(out + at, f32x4.add(weighted, loadUpTo(bias + column, width - i)), width - i)
    }
  }
}

/** dx, and dweight and dbias added up over the rows in order; both must start at 0. */
export function layerNormGradient(
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dweight: usize,
  dbias: usize,
  rows: i32,
  width: i32,
  epsilon: f32
): void {
  for (let row = 0; row < rows; row++) {
    const start = <usize>row * <usize>width * 4
    const mean = meanOf(x + start, width)
    const scale = f32x4.splat(inverseDeviation(x + start, width, mean, epsilon))
    normGradientRow(x + start, weight, dy + start, dx + start, dweight, dbias, width, mean, scale)
  }
}

/**
 * dx = scale·(dy·w − [mean(dy·w)] − x̂·mean(dy·w·x̂)) with x̂ = (x − mean)·scale; the bracket only where there is a
 * bias, that is, where the mean was taken off.
 */
function normGradientRow(
  x: usize,
  weight: usize,
  dy: usize,
  dx: usize,
  dweight: usize,
  dbias: usize,
  width: i32,
  mean: f32,
  scale: v128
): void {
  const offset = f32x4.splat(mean)
  let along = f32x4.splat(0)
  let total = along
  for (let i = 0; i < width; i += 4) {
    const at = <usize>i * 4
    const slope = loadUpTo(dy + at, width - i)
    const normed = f32x4.mul(f32x4.sub(loadUpTo(x + at, width - i), offset), scale)
    const weighted = f32x4.mul(slope, loadUpTo(weight + at, width - i))
    // Lanes beyond the row have slope 0 and add nothing.
    along = f32x4.add(along, f32x4.mul(weighted, normed))
    total = f32x4.add(total, weighted)
    const sum = f32x4.add(loadUpTo(dweight + at, width - i), f32x4.mul(slope, normed))
    storeUpTo(dweight + at, sum, width - i)
    if (dbias != 0) storeUpTo(dbias + at, f32x4.add(loadUpTo(dbias + at, width - i), slope), width - i)
  }
  const meanAlong = f32x4.splat(sumLanes(along) / <f32>width)
  const meanSlope = f32x4.splat(dbias != 0 ? sumLanes(total) / <f32>width : 0)
  for (let i = 0; i < width; i += 4) {
    const at = <usize>i * 4
    const normed = f32x4.mul(f32x4.sub(loadUpTo(x + at, width - i), offset), scale)
    const weighted = f32x4.mul(loadUpTo(dy + at, width - i), loadUpTo(weight + at, width - i))
    const rest = f32x4.sub(f32x4.sub(weighted, meanSlope), f32x4.mul(normed, meanAlong))
    storeUpTo(dx + at, f32x4.mul(rest, scale), width - i)
  }
}

function meanOf(x: usize, width: i32): f32 {
  let sum = f32x4.splat(0)
  for (let i = 0; i < width; i += 4) sum = f32x4.add(sum, loadUpTo(x + <usize>i * 4, width - i))
  return sumLanes(sum) / <f32>width
}

/** 1 / √(mean((x − mean)²) + ε). */
function inverseDeviation(x: usize, width: i32, mean: f32, epsilon: f32): f32 {
  let sum = f32x4.splat(0)
  const offset = f32x4.splat(mean)
  let i = 0
  for (; i + 4 <= width; i += 4) {
    const centred = f32x4.sub(v128.load(x + <usize>i * 4), offset)
    sum = f32x4.add(sum, f32x4.mul(centred, centred))
  }
  let total = sumLanes(sum)
  for (; i < width; i++) {
    const centred = load<f32>(x + <usize>i * 4) - mean
    total += centred * centred
  }
  return 1 / sqrt<f32>(total / <f32>width + epsilon)
}
