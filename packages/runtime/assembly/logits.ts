import { exp4, keepUpTo, loadUpTo, log, maxLane, storeUpTo, sumLanes, tanh4 } from "./vector"

/**
 * Logits as the model means them, in place: c·tanh(logit / c) where the cap is not 0, then divided by the temperature.
 */
function shape(logits: usize, n: i32, temperature: f32, softCap: f32): void {
  if (softCap == 0 && temperature == 1) return
  for (let i = 0; i < n; i += 4) {
    const at = logits + <usize>i * 4
    let value = loadUpTo(at, n - i)
    if (softCap != 0) {
      value = f32x4.mul(f32x4.splat(softCap), tanh4(f32x4.div(value, f32x4.splat(softCap))))
    }
    storeUpTo(at, f32x4.div(value, f32x4.splat(temperature)), n - i)
  }
}

/**
 * Per row of logits [rows, vocabulary] (overwritten by what `shape` makes of them): log-probability of the target,
 * entropy of the distribution, 1 where the target is the most likely token, log of the normalizer.
 */
export function logitStatistics(
  logits: usize,
  targets: usize,
  rows: i32,
  vocabulary: i32,
  temperature: f32,
  softCap: f32,
  logProbs: usize,
  entropy: usize,
  correct: usize,
  logNormalizer: usize
): void {
  for (let row = 0; row < rows; row++) {
    const line = logits + <usize>row * <usize>vocabulary * 4
    const at = <usize>row * 4
    const target = load<i32>(targets + at)
    shape(line, vocabulary, temperature, softCap)
    const peak = highest(line, vocabulary)
    let total: f64 = 0
    let weighted: f64 = 0
    for (let i = 0; i < vocabulary;) {
      // Sums of 256 numbers in float32, those in float64.
      const stop = min(vocabulary, i + 256)
      let sum = f32x4.splat(0)
      let sumWeighted = sum
      for (; i < stop; i += 4) {
        const shifted = f32x4.sub(loadUpTo(line + <usize>i * 4, stop - i), f32x4.splat(peak))
        const raised = keepUpTo(exp4(shifted), stop - i)
        sum = f32x4.add(sum, raised)
        sumWeighted = f32x4.add(sumWeighted, f32x4.mul(raised, shifted))
      }
      total += <f64>sumLanes(sum)
      weighted += <f64>sumLanes(sumWeighted)
    }
    const logTotal = log(total)
    store<f32>(logProbs + at, <f32>(<f64>(load<f32>(line + <usize>target * 4) - peak) - logTotal))
    store<f32>(entropy + at, <f32>(logTotal - weighted / total))
    store<f32>(correct + at, firstEqual(line, vocabulary, peak) == target ? 1 : 0)
    store<f32>(logNormalizer + at, <f32>(<f64>peak + logTotal))
  }
}

/**
 * Logits to the gradient of Σ factor·log-probability with respect to the raw ones, in place:
 * factor · (1[target] − p) / temperature · (1 − tanh²).
 *
 * @param shaped  whether `logitStatistics` has been over them; otherwise they are as the matrix product left them
 * @param factors one a row, or 0 for all ones
 */
export function logitGradient(
  logits: usize,
  targets: usize,
  rows: i32,
  vocabulary: i32,
  temperature: f32,
  softCap: f32,
  shaped: bool,
  logNormalizer: usize,
  factors: usize
): void {
  for (let row = 0; row < rows; row++) {
    const line = logits + <usize>row * <usize>vocabulary * 4
    const at = <usize>row * 4
    if (!shaped) shape(line, vocabulary, temperature, softCap)
    const factor: f32 = (factors == 0 ? 1 : load<f32>(factors + at)) / temperature
    const target = line + <usize>load<i32>(targets + at) * 4
    const atTarget = load<f32>(target)
    const normalizer = f32x4.splat(load<f32>(logNormalizer + at))
    const down = f32x4.splat(-factor)
    for (let i = 0; i < vocabulary; i += 4) {
      const to = line + <usize>i * 4
      const value = loadUpTo(to, vocabulary - i)
      let slope = f32x4.mul(down, exp4(f32x4.sub(value, normalizer)))
      if (softCap != 0) slope = f32x4.mul(slope, capSlope(value, temperature, softCap))
      storeUpTo(to, slope, vocabulary - i)
    }
    let up = factor
    if (softCap != 0) up *= f32x4.extract_lane(capSlope(f32x4.splat(atTarget), temperature, softCap), 0)
    store<f32>(target, load<f32>(target) + up)
  }
}

/** 1 − tanh², from the capped and divided logit. */
function capSlope(value: v128, temperature: f32, softCap: f32): v128 {
  const squashed = f32x4.mul(value, f32x4.splat(temperature / softCap))
  return f32x4.sub(f32x4.splat(1), f32x4.mul(squashed, squashed))
}

function highest(x: usize, n: i32): f32 {
  let lanes = f32x4.splat(load<f32>(x))
  let i = 0
  for (; i + 4 <= n; i += 4) lanes = f32x4.pmax(lanes, v128.load(x + <usize>i * 4))
  let result = maxLane(lanes)
  for (; i < n; i++) result = max(result, load<f32>(x + <usize>i * 4))
  return result
}

function firstEqual(x: usize, n: i32, value: f32): i32 {
  const wanted = f32x4.splat(value)
  let i = 0
  while (i + 4 <= n && !v128.any_true(f32x4.eq(v128.load(x + <usize>i * 4), wanted))) i += 4
  while (i < n && load<f32>(x + <usize>i * 4) != value) i++
  return i
}
