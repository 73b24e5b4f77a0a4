import { loadUpTo, storeUpTo } from "./vector"

/** √Σx² with the sum in float64. */
export function norm(x: usize, n: i32): f64 {
  let low = f64x2.splat(0)
  let high = low
  for (let i = 0; i < n; i += 4) {
    const part = loadUpTo(x + <usize>i * 4, n - i)
    const first = f64x2.promote_low_f32x4(part)
    const second = f64x2.promote_low_f32x4(v128.shuffle<f64>(part, part, 1, 1))
    low = f64x2.add(low, f64x2.mul(first, first))
    high = f64x2.add(high, f64x2.mul(second, second))
  }
  const sums = f64x2.add(low, high)
  return sqrt<f64>(f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1))
}

/** One AdamW step in place; the arguments are those of the kernel PlumblineAdamW. */
export function adamw(
  parameter: usize,
  gradient: usize,
  firstMoment: usize,
  secondMoment: usize,
  n: i32,
  beta1: f64,
  beta2: f64,
  epsilon: f32,
  decay: f32,
  stepSize: f32,
  denominatorScale: f32,
  gradientScale: f32
): void {
  const keepSecond = f32x4.splat(<f32>beta2)
  const takeFirst = f32x4.splat(<f32>(1 - beta1))
  const takeSecond = f32x4.splat(<f32>(1 - beta2))
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4
    const count = n - i
    const slope = f32x4.mul(loadUpTo(gradient + at, count), f32x4.splat(gradientScale))
    const oldFirst = loadUpTo(firstMoment + at, count)
    const first = f32x4.add(oldFirst, f32x4.mul(takeFirst, f32x4.sub(slope, oldFirst)))
    const kept = f32x4.mul(loadUpTo(secondMoment + at, count), keepSecond)
    const second = f32x4.add(kept, f32x4.mul(f32x4.mul(takeSecond, slope), slope))
    const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(second), f32x4.splat(denominatorScale)), f32x4.splat(epsilon))
    const decayed = f32x4.mul(loadUpTo(parameter + at, count), f32x4.splat(decay))
    const moved = f32x4.sub(decayed, f32x4.div(f32x4.mul(f32x4.splat(stepSize), first), denominator))
    storeUpTo(parameter + at, moved, count)
    storeUpTo(firstMoment + at, first, count)
    storeUpTo(secondMoment + at, second, count)
  }
}
