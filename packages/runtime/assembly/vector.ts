// Functions on four float32 numbers at a time. Nothing here or beside it may own static memory: the module runs inside
// the memory of tfjs-backend-wasm, which knows nothing of it.

/** The first `count` (1 to 4) numbers at `from`; the other lanes are 0. */
export function loadUpTo(from: usize, count: i32): v128 {
  if (count >= 4) return v128.load(from)
  let part = v128.load32_zero(from)
  if (count > 1) part = v128.load_lane<f32>(from, part, 1, 4)
  if (count > 2) part = v128.load_lane<f32>(from, part, 2, 8)
  return part
}

/** Stores the first `count` (1 to 4) lanes. */
export function storeUpTo(to: usize, values: v128, count: i32): void {
  if (count >= 4) {
    v128.store(to, values)
    return
  }
  v128.store_lane<f32>(to, values, 0)
  if (count > 1) v128.store_lane<f32>(to, values, 1, 4)
  if (count > 2) v128.store_lane<f32>(to, values, 2, 8)
}

export function sumLanes(x: v128): f32 {
  return f32x4.extract_lane(x, 0) + f32x4.extract_lane(x, 1) + (f32x4.extract_lane(x, 2) + f32x4.extract_lane(x, 3))
}

export function maxLane(x: v128): f32 {
  return max(
    max(f32x4.extract_lane(x, 0), f32x4.extract_lane(x, 1)),
    max(f32x4.extract_lane(x, 2), f32x4.extract_lane(x, 3))
  )
}

/** Sets the lanes from `count` on to 0. */
export function keepUpTo(x: v128, count: i32): v128 {
  return count >= 4 ? x : v128.and(x, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count)))
}

/** Lanes from `count` on become the least number, so that no maximum sees them. */
export function lowerFrom(x: v128, count: i32): v128 {
  if (count >= 4) return x
  return v128.bitselect(x, f32x4.splat(-f32.MAX_VALUE), i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(count)))
}

/** 1.5·2²³: added to a small number, it leaves that number, rounded, in the lowest bits. */
const ROUNDER: f32 = 12582912

/** eˣ within 2 units in the last place; x is clamped to [−87.3, 88.3], NaN stays NaN. Cephes expf. */
export function exp4(x: v128): v128 {
  const clamped = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.3)), f32x4.splat(88.3))
  const shifted = f32x4.relaxed_madd(clamped, f32x4.splat(<f32>Math.LOG2E), f32x4.splat(ROUNDER))
  const n = f32x4.sub(shifted, f32x4.splat(ROUNDER))
  let r = f32x4.relaxed_madd(n, f32x4.splat(-0.693359375), clamped)
  r = f32x4.relaxed_madd(n, f32x4.splat(2.1219444e-4), r)
  let p = f32x4.relaxed_madd(f32x4.splat(1.98756915e-4), r, f32x4.splat(1.3981999507e-3))
  p = f32x4.relaxed_madd(p, r, f32x4.splat(8.3334519073e-3))
  p = f32x4.relaxed_madd(p, r, f32x4.splat(4.1665795894e-2))
  p = f32x4.relaxed_madd(p, r, f32x4.splat(1.6666665459e-1))
  p = f32x4.relaxed_madd(p, r, f32x4.splat(5.0000001201e-1))
  p = f32x4.add(f32x4.relaxed_madd(p, f32x4.mul(r, r), r), f32x4.splat(1))
  return f32x4.mul(p, i32x4.shl(i32x4.add(shifted, i32x4.splat(127)), 23))
}

/** tanh x: an odd polynomial below 0.625 (Cephes tanhf), 1 − 2/(e²ˣ + 1) above. */
export function tanh4(x: v128): v128 {
  const square = f32x4.mul(x, x)
  let p = f32x4.add(f32x4.mul(f32x4.splat(-5.70498872745e-3), square), f32x4.splat(2.06390887954e-2))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-5.37397155531e-2))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(1.33314422036e-1))
  p = f32x4.add(f32x4.mul(p, square), f32x4.splat(-3.33332819422e-1))
  const near = f32x4.add(f32x4.mul(f32x4.mul(p, square), x), x)
  const one = f32x4.splat(1)
  const far = f32x4.sub(one, f32x4.div(f32x4.splat(2), f32x4.add(exp4(f32x4.add(x, x)), one)))
  return v128.bitselect(near, far, f32x4.lt(f32x4.abs(x), f32x4.splat(0.625)))
}

/** erf x within 1.5·10⁻⁷. Abramowitz & Stegun 7.1.26. */
export function erf4(x: v128): v128 {
  const one = f32x4.splat(1)
  const size = f32x4.abs(x)
  const t = f32x4.div(one, f32x4.add(one, f32x4.mul(f32x4.splat(0.3275911), size)))
  let p = f32x4.add(f32x4.mul(f32x4.splat(1.061405429), t), f32x4.splat(-1.453152027))
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.421413741))
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.284496736))
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.254829592))
  const value = f32x4.sub(one, f32x4.mul(f32x4.mul(p, t), exp4(f32x4.neg(f32x4.mul(x, x)))))
  return v128.or(value, v128.and(x, f32x4.splat(-0.0)))
}

/** Natural logarithm of a positive number, by the series of artanh; ∞ and NaN stay what they are. */
export function log(x: f64): f64 {
  if (!(x <= f64.MAX_VALUE)) return x
  const bits = reinterpret<u64>(x)
  let exponent = <i32>(bits >> 52) - 1023
  let mantissa = reinterpret<f64>((bits & 0x000fffffffffffff) | 0x3ff0000000000000)
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5
    exponent += 1
  }
  const s = (mantissa - 1) / (mantissa + 1)
  const square = s * s
  let series: f64 = 1.0 / 17
  for (let odd = 15; odd > 0; odd -= 2) series = series * square + 1 / <f64>odd
  return 2 * s * series + <f64>exponent * Math.LN2
}
