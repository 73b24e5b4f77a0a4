import { loadUpTo, storeUpTo } from "./vector"

/**
 * Rotates dimensions i and i + half of every head by its token's angle; the dimensions from 2·half on are copied.
 *
 * @param x         [tokens, heads, width]
 * @param cos       [tokens, half], and sin likewise
 * @param direction 1, or −1 for the inverse rotation, which is also the gradient
 */
export function rotary(
  x: usize,
  cos: usize,
  sin: usize,
  out: usize,
  tokens: i32,
  heads: i32,
  width: i32,
  half: i32,
  direction: f32
): void {
  const headBytes = <usize>width * 4
  const halfBytes = <usize>half * 4
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < heads; head++) {
      rotateHead(x, cos, sin, out, half, direction)
      for (let i = 2 * half; i < width; i++) store<f32>(out + <usize>i * 4, load<f32>(x + <usize>i * 4))
      x += headBytes
      out += headBytes
    }
    cos += halfBytes
    sin += halfBytes
  }
}

function rotateHead(x: usize, cos: usize, sin: usize, out: usize, half: i32, direction: f32): void {
  const sign = f32x4.splat(direction)
  const second = <usize>half * 4
  for (let i = 0; i < half; i += 4) {
    const at = <usize>i * 4
    const a = loadUpTo(x + at, half - i)
    const b = loadUpTo(x + second + at, half - i)
    const c = loadUpTo(cos + at, half - i)
    const s = f32x4.mul(loadUpTo(sin + at, half - i), sign)
    storeUpTo(out + at, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)), half - i)
    storeUpTo(out + second + at, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)), half - i)
  }
}
