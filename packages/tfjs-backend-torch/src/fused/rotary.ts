import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { traced } from "../traced.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaRotary, cudaRotaryHeads } from "./cuda/launches.ts"
import { cast, dense, emptyOf, isHostReal, matrix, wide } from "./storage.ts"
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

type Angles = Record<"cos" | "sin", TensorInfo>

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
        ? turned([x], angles, inverse === true, scope)[0]!
        : cudaRotary([value, ...wideAngles(angles, scope)], inverse === true ? -1 : 1, T, scope)
    return scope.out(rotated, "float32", x.shape)
  }
)

/** {q, k, v}: the first two rotated, the third as it is. Rotated backward on CUDA, all three are columns of one matrix. */
export const rotaryHeads: Kernel = replayed(
  { inputs: ["q", "k", "v", "cos", "sin"], constants: ["inverse"] },
  (inputs: Angles & Record<"q" | "k" | "v", TensorInfo>, { inverse }: Direction, scope) => {
    const { k, q, v } = inputs
    const T = cudaStorage([scope.of(q), scope.of(k)], scope)
    if (T === undefined) {
      const [first, second] = turned([q, k], inputs, inverse === true, scope)
      return [scope.out(first!, "float32", q.shape), scope.out(second!, "float32", k.shape), scope.share(v)]
    }
    const [queries, keys, values] = [q, k, v].map((x) => matrix(x, scope)) as [Handle, Handle, Handle]
    const shapes = { heads: q.shape[1]!, keyHeads: k.shape[1]!, width: q.shape[2]! }
    const angles = wideAngles(inputs, scope)
    const type = typeOf(queries)
    const parts = cudaRotaryHeads([queries, keys, cast(values, type)], angles, shapes, inverse === true, T, scope)
    const [first, second, third] = parts
    return [
      scope.out(reshape(first, q.shape), "float32", q.shape),
      scope.out(reshape(second, k.shape), "float32", k.shape),
      third === undefined ? scope.share(v) : scope.out(reshape(third, v.shape), "float32", v.shape)
    ]
  }
)

const wideAngles = ({ cos, sin }: Angles, scope: KernelScope): readonly [Handle, Handle] => [
  wide(dense(cos, scope)),
  wide(dense(sin, scope))
]

/** Each x [N, H, d] rotated where our CUDA kernels do not apply: in one pass of our own on the CPU. */
const turned = (
  xs: ReadonlyArray<TensorInfo>,
  angles: Angles,
  inverse: boolean,
  scope: KernelScope
): ReadonlyArray<Handle> => {
  const values = xs.map((x) => scope.of(x))
  if (!values.every((value) => isHostReal(value, scope))) {
    return composed(scope, [scope.of(angles.cos), scope.of(angles.sin), ...values], inverse)
  }
  const [cos, sin] = wideAngles(angles, scope)
  return xs.map((x, i) => {
    const out = emptyOf(x.shape, typeOf(values[i]!), scope)
    scope.backend.addon.turnHeads(matrix(x, scope), cos, sin, inverse ? -1 : 1, x.shape[2]!, out)
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
