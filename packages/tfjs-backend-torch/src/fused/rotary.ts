import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { traced } from "../traced.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaRotary, cudaRotaryHeads } from "./cuda/launches.ts"
import { cast, dense, emptyOf, isHostReal, matrixOf, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

const [mul, sub, add, narrow, cat, unsqueeze, neg, reshape] = [
  aten("mul.Tensor"),
  aten("sub.Tensor"),
  aten("add.Tensor"),
  aten("narrow"),
  aten("cat"),
  aten("unsqueeze"),
  aten("neg"),
  aten("reshape")
]

export type Angles = Record<"cos" | "sin", TensorInfo>

interface Direction {
  readonly inverse?: boolean
}

/** Halves i and i + R/2 of each head rotate together; what lies beyond R passes through. */
export const rotary: Kernel = replayed(
  { inputs: ["x", "cos", "sin"], constants: ["inverse"] },
  ({ x, ...angles }: Angles & Record<"x", TensorInfo>, { inverse }: Direction, scope) => {
    const value = dense(x, scope)
    const T = cudaStorage([value], scope)
    const rotated =
      T === undefined
        ? turned([scope.of(x)], angles, inverse === true, scope)[0]!
        : cudaRotary([value, ...wideAngles(angles, scope)], inverse === true ? -1 : 1, T, scope)
    return scope.out(rotated, "float32", x.shape)
  }
)

/** {q, k, v}: the first two rotated, the third as it is. Rotated backward on CUDA, all three are columns of one matrix. */
export const rotaryHeads: Kernel = replayed(
  { inputs: ["q", "k", "v", "cos", "sin"], constants: ["inverse"] },
  (inputs: Angles & Record<"q" | "k" | "v", TensorInfo>, { inverse }: Direction, scope) => {
    const { k, q, v } = inputs
    const heads = [scope.of(q), scope.of(k), scope.of(v)] as const
    const [queries, keys, values] = turnedHeads(heads, inputs, inverse === true, scope)
    return [
      scope.out(queries, "float32", q.shape),
      scope.out(keys, "float32", k.shape),
      values === heads[2] ? scope.share(v) : scope.out(values, "float32", v.shape)
    ]
  }
)

type Three = readonly [Handle, Handle, Handle]

/** The same of q [N, H, d], k and v [N, K, d]. */
export const turnedHeads = ([q, k, v]: Three, angles: Angles, inverse: boolean, scope: KernelScope): Three => {
  const T = cudaStorage([q, k], scope)
  if (T === undefined) {
    const [queries, keys] = turned([q, k], angles, inverse, scope)
    return [queries!, keys!, v]
  }
  const { addon } = scope.backend
  const shapes = [q, k, v].map((x) => addon.shape(x))
  const [heads, keyHeads, width] = [shapes[0]![1]!, shapes[1]![1]!, shapes[0]![2]!]
  const parts = cudaRotaryHeads(
    [matrixOf(q, scope), matrixOf(k, scope), matrixOf(cast(v, typeOf(q)), scope)],
    wideAngles(angles, scope),
    { heads, keyHeads, width },
    inverse,
    T,
    scope
  )
  const [queries, keys, values] = parts.map((part, i) => part && reshape(part, shapes[i]!))
  return [queries!, keys!, values ?? v]
}

/** Cosine and sine, [N, R/2], as our kernels read them. */
export const wideAngles = ({ cos, sin }: Angles, scope: KernelScope): readonly [Handle, Handle] => [
  wide(dense(cos, scope)),
  wide(dense(sin, scope))
]

/** Each x [N, H, d] rotated where our CUDA kernels do not apply: in one pass of our own on the CPU. */
const turned = (
  values: ReadonlyArray<Handle>,
  angles: Angles,
  inverse: boolean,
  scope: KernelScope
): ReadonlyArray<Handle> => {
  if (!values.every((value) => isHostReal(value, scope))) {
    return composed(scope, [scope.of(angles.cos), scope.of(angles.sin), ...values], inverse)
  }
  const [cos, sin] = wideAngles(angles, scope)
  const { addon } = scope.backend
  return values.map((value) => {
    const shape = addon.shape(value)
    const out = emptyOf(shape, typeOf(value), scope)
    addon.turnHeads(matrixOf(value, scope), cos, sin, inverse ? -1 : 1, shape[2]!, out)
    return out
  })
}

/**
 * [cos, sin, x, …] → each x rotated. The angles are float32, so narrower values are rotated in float32 and rounded once.
 */
const composed = traced((scope, [cos, sin, ...xs], inverse: boolean) => {
  const half = scope.backend.addon.shape(cos!)[1]!
  const [c, s] = [unsqueeze(cos, 1), unsqueeze(inverse ? neg(sin) : sin, 1)]
  return xs.map((x) => rotatedBy(x!, c, s, half, scope))
})

/** x [N, H, d] by cosines and sines [N, 1, R/2]. */
const rotatedBy = (x: Handle, cos: Handle, sin: Handle, half: number, scope: KernelScope): Handle => {
  const rest = scope.backend.addon.shape(x)[2]! - 2 * half
  const [first, second] = [narrow(x, 2, 0, half), narrow(x, 2, half, half)]
  const rotated = [sub(mul(first, cos), mul(second, sin)), add(mul(second, cos), mul(first, sin))]
  const type = typeOf(x)
  const parts = rotated.map((part) => cast(part, type))
  return cat(rest === 0 ? parts : [...parts, narrow(x, 2, 2 * half, rest)], 2)
}
