import { dot, gemm, gemmScratch } from "./gemm"
import { exp4, keepUpTo, loadUpTo, log, lowerFrom, maxLane, storeUpTo, sumLanes, tanh4 } from "./vector"

/** Queries whose scores exist at one time; a multiple of the matrix kernel's six rows. */
const BLOCK: i32 = 48

/** Bytes of scratch memory the functions below need for rows of up to `keyLength` keys. */
export function attentionScratch(keyLength: i32, width: i32): i32 {
  const product = max(gemmScratch(keyLength, max(width, BLOCK)), gemmScratch(width, max(keyLength, BLOCK)))
  return 2 * BLOCK * keyLength * 4 + BLOCK * 4 + product
}

/**
 * One row of tokens, all heads.
 *
 * @param q            first query: [length, heads, width]
 * @param k            first key: [keyLength, keyHeads, width], and v likewise
 * @param out          [length, heads, width]
 * @param logNormalizer [length, heads], for the gradient
 * @param window       keys a query sees, itself included; 0 for all
 * @param softCap      0 for none
 */
export function attentionRow(
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  logNormalizer: usize,
  length: i32,
  keyLength: i32,
  heads: i32,
  keyHeads: i32,
  width: i32,
  scale: f32,
  window: i32,
  softCap: f32,
  scratch: usize
): void {
  const rowOfQ = heads * width
  const rowOfK = keyHeads * width
  const group = heads / keyHeads
  const scores = scratch
  const rest = scratch + <usize>(2 * BLOCK * keyLength * 4 + BLOCK * 4)
  for (let head = 0; head < heads; head++) {
    const keyHead = <usize>((head / group) * width) * 4
    for (let start = 0; start < length; start += BLOCK) {
      const rows = min(BLOCK, length - start)
      const last = start + keyLength - length
      const low = lowestKey(last, window)
      const seen = last + rows - low
      const queries = <usize>(start * rowOfQ + head * width) * 4
      const keys = <usize>(low * rowOfK) * 4 + keyHead
      gemm(rows, seen, width, q + queries, rowOfQ, 1, k + keys, 1, rowOfK, scores, seen, false, rest)
      for (let i = 0; i < rows; i++) {
        const line = scores + <usize>(i * seen) * 4
        const first = lowestKey(last + i, window) - low
        const value = softmax(line, first, last + i + 1 - low, seen, scale, softCap)
        store<f32>(logNormalizer + <usize>((start + i) * heads + head) * 4, value)
      }
      gemm(rows, width, seen, scores, seen, 1, v + keys, rowOfK, 1, out + queries, rowOfQ, false, rest)
    }
  }
}

/** Gradients of one row: dq is written; dk and dv are added to, since a group of heads shares them. */
export function attentionRowGradient(
  q: usize,
  k: usize,
  v: usize,
  out: usize,
  logNormalizer: usize,
  dy: usize,
  dq: usize,
  dk: usize,
  dv: usize,
  length: i32,
  keyLength: i32,
  heads: i32,
  keyHeads: i32,
  width: i32,
  scale: f32,
  window: i32,
  softCap: f32,
  scratch: usize
): void {
  const rowOfQ = heads * width
  const rowOfK = keyHeads * width
  const group = heads / keyHeads
  const scores = scratch
  const slopes = scores + <usize>(BLOCK * keyLength * 4)
  const rest = slopes + <usize>(BLOCK * keyLength * 4 + BLOCK * 4)
  for (let head = 0; head < heads; head++) {
    const keyHead = <usize>((head / group) * width) * 4
    for (let start = 0; start < length; start += BLOCK) {
      const rows = min(BLOCK, length - start)
      const last = start + keyLength - length
      const low = lowestKey(last, window)
      const seen = last + rows - low
      const queries = <usize>(start * rowOfQ + head * width) * 4
      const keys = <usize>(low * rowOfK) * 4 + keyHead
      gemm(rows, seen, width, q + queries, rowOfQ, 1, k + keys, 1, rowOfK, scores, seen, false, rest)
      gemm(rows, seen, width, dy + queries, rowOfQ, 1, v + keys, 1, rowOfK, slopes, seen, false, rest)
      for (let i = 0; i < rows; i++) {
        const line = <usize>(i * seen) * 4
        const token = queries + <usize>(i * rowOfQ) * 4
        const first = lowestKey(last + i, window) - low
        const normalizer = load<f32>(logNormalizer + <usize>((start + i) * heads + head) * 4)
        const mean = dot(dy + token, out + token, width)
        scoreGradient(scores + line, slopes + line, first, last + i + 1 - low, seen, scale, softCap, normalizer, mean)
      }
      gemm(seen, width, rows, scores, 1, seen, dy + queries, rowOfQ, 1, dv + keys, rowOfK, true, rest)
      gemm(rows, width, seen, slopes, seen, 1, k + keys, rowOfK, 1, dq + queries, rowOfQ, false, rest)
      gemm(seen, width, rows, slopes, 1, seen, q + queries, rowOfQ, 1, dk + keys, rowOfK, true, rest)
    }
  }
}

function lowestKey(last: i32, window: i32): i32 {
  return window == 0 ? 0 : max(0, last - window + 1)
}

/**
 * Raw scores of one query to probabilities, in place: keys from `first` up to `stop` of `seen` count, the others
 * become 0. Returns the log of the normalizer.
 */
function softmax(line: usize, first: i32, stop: i32, seen: i32, scale: f32, softCap: f32): f32 {
  let lanes = f32x4.splat(-f32.MAX_VALUE)
  for (let i = first; i < stop; i += 4) {
    const at = line + <usize>i * 4
    const score = shapeScore(loadUpTo(at, stop - i), scale, softCap)
    lanes = f32x4.pmax(lanes, lowerFrom(score, stop - i))
    storeUpTo(at, score, stop - i)
  }
  const peak = maxLane(lanes)
  let sum = f32x4.splat(0)
  for (let i = first; i < stop; i += 4) {
    const at = line + <usize>i * 4
    const raised = keepUpTo(exp4(f32x4.sub(loadUpTo(at, stop - i), f32x4.splat(peak))), stop - i)
    sum = f32x4.add(sum, raised)
    storeUpTo(at, raised, stop - i)
  }
  const total = sumLanes(sum)
  const share = f32x4.splat(1 / total)
  for (let i = first; i < stop; i += 4) {
    const at = line + <usize>i * 4
    storeUpTo(at, f32x4.mul(loadUpTo(at, stop - i), share), stop - i)
  }
  clearOutside(line, first, stop, seen)
  return <f32>(<f64>peak + log(<f64>total))
}

/** Raw scores to probabilities and dy·vᵀ to the gradient of the raw scores, both in place. */
function scoreGradient(
  line: usize,
  slopes: usize,
  first: i32,
  stop: i32,
  seen: i32,
  scale: f32,
  softCap: f32,
  normalizer: f32,
  mean: f32
): void {
  for (let i = first; i < stop; i += 4) {
    const at = <usize>i * 4
    const score = shapeScore(loadUpTo(line + at, stop - i), scale, softCap)
    const probability = exp4(f32x4.sub(score, f32x4.splat(normalizer)))
    const centred = f32x4.sub(loadUpTo(slopes + at, stop - i), f32x4.splat(mean))
    let slope = f32x4.mul(f32x4.mul(probability, centred), f32x4.splat(scale))
    if (softCap != 0) {
      const squashed = f32x4.div(score, f32x4.splat(softCap))
      slope = f32x4.mul(slope, f32x4.sub(f32x4.splat(1), f32x4.mul(squashed, squashed)))
    }
    storeUpTo(line + at, probability, stop - i)
    storeUpTo(slopes + at, slope, stop - i)
  }
  clearOutside(line, first, stop, seen)
  clearOutside(slopes, first, stop, seen)
}

function shapeScore(raw: v128, scale: f32, softCap: f32): v128 {
  const score = f32x4.mul(raw, f32x4.splat(scale))
  if (softCap == 0) return score
  return f32x4.mul(f32x4.splat(softCap), tanh4(f32x4.div(score, f32x4.splat(softCap))))
}

function clearOutside(line: usize, first: i32, stop: i32, seen: i32): void {
  memory.fill(line, 0, <usize>first * 4)
  memory.fill(line + <usize>stop * 4, 0, <usize>(seen - stop) * 4)
}
