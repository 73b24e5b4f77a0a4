import { erf4, exp4, loadUpTo, storeUpTo, tanh4 } from "./vector"

const SILU: i32 = 0
const GELU: i32 = 1
const SQRT_HALF: f32 = <f32>Math.SQRT1_2
const SQRT_2_OVER_PI: f32 = 0.7978845608028654
const ONE_OVER_SQRT_2PI: f32 = 0.3989422804014327
const CUBIC: f32 = 0.044715

/** out = act(gate) · up over n elements; activation 0 SiLU, 1 GELU, 2 GELU by tanh. */
export function gatedActivation(gate: usize, up: usize, out: usize, n: i32, activation: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4
    const g = loadUpTo(gate + at, n - i)
    storeUpTo(out + at, f32x4.mul(f32x4.mul(g, share(g, activation)), loadUpTo(up + at, n - i)), n - i)
  }
}

/** gateSlope = dy · up · act′(gate), upSlope = dy · act(gate). */
export function gatedActivationGradient(
  gate: usize,
  up: usize,
  dy: usize,
  gateSlope: usize,
  upSlope: usize,
  n: i32,
  activation: i32
): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4
    const g = loadUpTo(gate + at, n - i)
    const slope = loadUpTo(dy + at, n - i)
    const passed = share(g, activation)
    const derivative = f32x4.add(passed, f32x4.mul(g, shareSlope(g, passed, activation)))
    storeUpTo(gateSlope + at, f32x4.mul(f32x4.mul(slope, loadUpTo(up + at, n - i)), derivative), n - i)
    storeUpTo(upSlope + at, f32x4.mul(slope, f32x4.mul(g, passed)), n - i)
  }
}

/** out = relu(x)² over n elements. */
export function squaredRelu(x: usize, out: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4
    const positive = f32x4.pmax(loadUpTo(x + at, n - i), f32x4.splat(0))
    storeUpTo(out + at, f32x4.mul(positive, positive), n - i)
  }
}

/** dx = 2·relu(x)·dy. */
export function squaredReluGradient(x: usize, dy: usize, dx: usize, n: i32): void {
  for (let i = 0; i < n; i += 4) {
    const at = <usize>i * 4
    const positive = f32x4.pmax(loadUpTo(x + at, n - i), f32x4.splat(0))
    storeUpTo(dx + at, f32x4.mul(f32x4.add(positive, positive), loadUpTo(dy + at, n - i)), n - i)
  }
}

/** s(x) in act(x) = x·s(x). */
function share(x: v128, activation: i32): v128 {
  const one = f32x4.splat(1)
  if (activation == SILU) return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))))
  const inner = activation == GELU ? erf4(f32x4.mul(x, f32x4.splat(SQRT_HALF))) : tanh4(tanhArgument(x))
  return f32x4.mul(f32x4.splat(0.5), f32x4.add(one, inner))
}

/** s′(x), given s(x). */
function shareSlope(x: v128, s: v128, activation: i32): v128 {
  const one = f32x4.splat(1)
  const square = f32x4.mul(x, x)
  const bell = f32x4.mul(s, f32x4.sub(one, s))
  if (activation == SILU) return bell
  if (activation == GELU) {
    return f32x4.mul(f32x4.splat(ONE_OVER_SQRT_2PI), exp4(f32x4.mul(f32x4.splat(-0.5), square)))
  }
  const inner = f32x4.mul(f32x4.splat(2 * SQRT_2_OVER_PI), f32x4.add(one, f32x4.mul(f32x4.splat(3 * CUBIC), square)))
  return f32x4.mul(bell, inner)
}

function tanhArgument(x: v128): v128 {
  const cubic = f32x4.mul(f32x4.splat(CUBIC), f32x4.mul(x, f32x4.mul(x, x)))
  return f32x4.mul(f32x4.splat(SQRT_2_OVER_PI), f32x4.add(x, cubic))
}
