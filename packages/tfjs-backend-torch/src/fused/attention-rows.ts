import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { isWidened } from "./matrix-product.ts"
import type { RowNumbers } from "./row-groups.ts"
import { cast, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// Equally long rows, [B, T, H, d] queries over [B, S, K, d] keys: ATen's flash attention on the CPU, else the formula.

type Three = readonly [Handle, Handle, Handle]

const [transpose, expand, reshape, matmul, mul, div, tanh, add, sub, sum, exp, logsumexp, unsqueeze] = [
  aten("transpose.int"),
  aten("expand"),
  aten("reshape"),
  aten("matmul"),
  aten("mul.Tensor"),
  aten("div.Scalar"),
  aten("tanh"),
  aten("add.Tensor"),
  aten("sub.Tensor"),
  aten("sum.dim_IntList"),
  aten("exp"),
  aten("logsumexp"),
  aten("unsqueeze")
]
const [scaled, square, contiguous] = [aten("mul.Scalar"), aten("square"), aten("contiguous")]
const flash = atenAll("_scaled_dot_product_flash_attention_for_cpu")
const flashBackward = atenAll("_scaled_dot_product_flash_attention_for_cpu_backward")

const shapeOf = (x: Handle, scope: KernelScope) => scope.backend.addon.shape(x) as [number, number, number, number]

/** [B, S, K, d] → [B, H, S, d], each key head repeated for its group of query heads. */
const perHead = (x: Handle, heads: number, scope: KernelScope): Handle => {
  const [rows, length, own, width] = shapeOf(x, scope)
  const byHead = transpose(x, 1, 2)
  if (own === heads) return byHead
  const group = heads / own
  return reshape(expand(unsqueeze(byHead, 2), [rows, own, group, length, width]), [rows, heads, length, width])
}

/** The gradient of `perHead`: [B, H, S, d] → [B, S, K, d]. */
const gathered = (x: Handle, own: number, scope: KernelScope): Handle => {
  const [rows, heads, length, width] = shapeOf(x, scope)
  const byHead = own === heads ? x : sum(reshape(x, [rows, own, heads / own, length, width]), [2])
  return transpose(byHead, 1, 2)
}

const simple = ([q, k]: Three, { softCap, window }: RowNumbers, scope: KernelScope): boolean => {
  const [, length] = shapeOf(q, scope)
  const [, keyLength] = shapeOf(k, scope)
  return (
    scope.backend.device === "cpu" &&
    length === keyLength &&
    softCap === undefined &&
    (window === undefined || window >= length)
  )
}

const split = ([q, k, v]: Three, scope: KernelScope): Three => {
  const [, , heads] = shapeOf(q, scope)
  return [transpose(q, 1, 2), perHead(k, heads, scope), perHead(v, heads, scope)]
}

/**
 * out [B, T, H, d] in the storage of q, and log-normalizers [B, T, H]. Computed in float32, so that a token's numbers
 * are the same, but for the last bit, with its whole row and one by one through a cache.
 */
export const rowForward = (heads: Three, options: RowNumbers, scope: KernelScope): readonly [Handle, Handle] => {
  const [q, k, v] = split(heads, scope).map((x) => wide(x)) as [Handle, Handle, Handle]
  const [out, normalizer] = simple(heads, options, scope)
    ? (flash(q, k, v, 0, true, undefined, options.scale) as [Handle, Handle])
    : composedForward([q, k, v], options, scope)
  return [cast(transpose(out, 1, 2), typeOf(heads[0])), transpose(normalizer, 1, 2)]
}

const composedForward = ([q, k, v]: Three, options: RowNumbers, scope: KernelScope): [Handle, Handle] => {
  const { scores } = scoresOf(q, k, options, scope)
  const normalizer = logsumexp(scores, [-1])
  return [matmul(exp(sub(scores, unsqueeze(normalizer, -1))), v), normalizer]
}

/** [B, H, T, S] float32 after scale, cap and mask; the tanh of the cap for its slope. */
const scoresOf = (q: Handle, k: Handle, { scale, softCap, window }: RowNumbers, scope: KernelScope) => {
  const raw = scaled(matmul(q, transpose(k, -2, -1)), scale)
  const squashed = softCap === undefined ? undefined : tanh(div(raw, softCap))
  const capped = squashed === undefined ? raw : scaled(squashed, softCap!)
  const [, , length] = shapeOf(q, scope)
  const [, , keyLength] = shapeOf(k, scope)
  return { scores: add(capped, causalMask(length, keyLength, window, scope)), squashed }
}

/** [T, S] float32: 0 where query t sees key s, −10³⁰ elsewhere. The last query is that of the last key. */
const causalMask = (length: number, keyLength: number, window = Infinity, scope: KernelScope): Handle => {
  const mask = new Float32Array(length * keyLength).fill(-1e30)
  for (let t = 0; t < length; t++) {
    const last = t + keyLength - length
    mask.fill(0, t * keyLength + Math.max(0, last - window + 1), t * keyLength + last + 1)
  }
  return scope.upload(mask, [length, keyLength], FLOAT32)
}

/** [dq, dk, dv] as q, k and v lie. */
export const rowGradient = (
  heads: Three,
  [out, normalizer]: readonly [Handle, Handle],
  dy: Handle,
  options: RowNumbers,
  scope: KernelScope
): readonly [Handle, Handle, Handle] => {
  const own = shapeOf(heads[1], scope)[2]
  const [q, k, v] = split(heads, scope)
  const [above, outs] = [transpose(dy, 1, 2), transpose(out, 1, 2)]
  const normalizers = transpose(normalizer, 1, 2)
  if (simple(heads, options, scope)) {
    const operands = [above, q, k, v, outs].map((x) => (isWidened(x, scope) ? wide(x) : x))
    const slopes = flashBackward(...operands, normalizers, 0, true, undefined, options.scale).map((x) =>
      cast(x, typeOf(q))
    ) as [Handle, Handle, Handle]
    return [transpose(slopes[0], 1, 2), gathered(slopes[1], own, scope), gathered(slopes[2], own, scope)]
  }
  const type = typeOf(heads[0])
  const wideHeads = [q, k, v].map((x) => wide(x)) as [Handle, Handle, Handle]
  const slopes = composedGradient(wideHeads, [wide(outs), normalizers], wide(above), options, scope)
  const [dq, dk, dv] = slopes.map((x) => cast(x, type)) as [Handle, Handle, Handle]
  return [transpose(dq, 1, 2), gathered(dk, own, scope), gathered(dv, own, scope)]
}

const composedGradient = (
  [q, k, v]: Three,
  [out, normalizer]: readonly [Handle, Handle],
  dy: Handle,
  options: RowNumbers,
  scope: KernelScope
): Three => {
  const { scores, squashed } = scoresOf(q, k, options, scope)
  const probabilities = exp(sub(scores, unsqueeze(normalizer, -1)))
  const shared = sum(mul(dy, out), [-1], true)
  let slope = mul(probabilities, sub(matmul(dy, transpose(v, -2, -1)), shared))
  if (squashed !== undefined) slope = sub(slope, mul(slope, square(squashed)))
  const scaledSlope = scaled(slope, options.scale)
  return [
    matmul(scaledSlope, k),
    matmul(transpose(scaledSlope, -2, -1), q),
    contiguous(matmul(transpose(probabilities, -2, -1), dy))
  ]
}
