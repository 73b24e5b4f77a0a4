import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { traced } from "../traced.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaRmsGradient, cudaRmsNorm, fitsRmsGradient } from "./cuda/launches.ts"
import { cast, dense, emptyOf, isHostReal, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

interface Epsilon {
  readonly epsilon: number
}

interface GradientNumbers extends Epsilon {
  /** Whether the gradient of the weight is wanted, too. */
  readonly withWeight: boolean
}

const [mul, mean, square, rsqrt, add, addTo, sub, sum] = [
  aten("mul.Tensor"),
  aten("mean.dim"),
  aten("square"),
  aten("rsqrt"),
  aten("add.Scalar"),
  aten("add.Tensor"),
  aten("sub.Tensor"),
  aten("sum.dim_IntList")
]
const [layerNormOf, layerNormBackward] = [atenAll("native_layer_norm"), atenAll("native_layer_norm_backward")]

/** The weight as the fused operators want it: in the storage of x. */
const alike = (weight: Handle, x: Handle): Handle => cast(weight, typeOf(x))

/** 1 / √(mean(x²) + ε), float32, [N, 1] */
const inverseRms = (wideX: Handle, epsilon: number): Handle => rsqrt(add(mean(square(wideX), [-1], true), epsilon))

type NormInputs = Record<"x" | "weight" | "bias" | "dy", TensorInfo>

/** sum = x + addend and its norm, in one pass of our own on the CPU. */
const hostNorm = (x: Handle, addend: Handle | null, weight: Handle, epsilon: number, scope: KernelScope) => {
  const shape = scope.backend.addon.shape(x)
  const [sum, out] = [emptyOf(shape, typeOf(x), scope), emptyOf(shape, typeOf(x), scope)]
  scope.backend.addon.rmsNorm(x, addend, weight, epsilon, sum, out)
  return { sum, out }
}

const normed = (x: Handle, weight: Handle, epsilon: number, scope: KernelScope): Handle => {
  if (isHostReal(x, scope)) return hostNorm(x, null, wide(weight), epsilon, scope).out
  const exact = wide(x)
  const unit = mul(exact, inverseRms(exact, epsilon))
  return cast(mul(unit, wide(weight)), typeOf(x))
}

export const rmsNorm: Kernel = replayed(
  { inputs: ["x", "weight"], constants: ["epsilon"] },
  (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
    const [x, weight] = [dense(inputs.x, scope), dense(inputs.weight, scope)]
    const T = cudaStorage([x], scope)
    const out =
      T === undefined ? normed(x, weight, epsilon, scope) : cudaRmsNorm([x], wide(weight), epsilon, T, scope)[0]
    return scope.out(out, "float32", inputs.x.shape)
  }
)

/** → [x + addend, its norm] */
export const addRmsNorm: Kernel = replayed(
  { inputs: ["x", "addend", "weight"], constants: ["epsilon"] },
  (inputs: NormInputs & Record<"addend", TensorInfo>, { epsilon }: Epsilon, scope) => {
    const [x, addend, weight] = [dense(inputs.x, scope), dense(inputs.addend, scope), dense(inputs.weight, scope)]
    const T = cudaStorage([x, addend], scope)
    const outputs = (sum: Handle, norm: Handle) => [
      scope.out(sum, "float32", inputs.x.shape),
      scope.out(norm, "float32", inputs.x.shape)
    ]
    if (T !== undefined) {
      const [norm, sum] = cudaRmsNorm([x, addend], wide(weight), epsilon, T, scope)
      return outputs(sum!, norm)
    }
    if (isHostReal(x, scope) && typeOf(addend) === typeOf(x)) {
      const { out, sum } = hostNorm(x, addend, wide(weight), epsilon, scope)
      return outputs(sum, out)
    }
    const sum = addTo(x, addend)
    return outputs(sum, normed(sum, weight, epsilon, scope))
  }
)

/**
 * With r = 1/√(mean(x²) + ε), x̂ = r·x and g = dy·w: dx = r·(g − x̂·mean(g·x̂)), dw = Σ over rows of dy·x̂. What flows
 * into x past the norm is added to dx.
 */
const slopes = (
  [x, weight, dy, past]: readonly [Handle, Handle, Handle, Handle?],
  { epsilon, withWeight }: GradientNumbers,
  scope: KernelScope
): readonly [dx: Handle, dw?: Handle | undefined] => {
  const T = cudaStorage([x], scope)
  if (T !== undefined && fitsRmsGradient(scope.backend.addon.shape(weight)[0]!)) {
    const beside = past === undefined ? undefined : alike(past, x)
    const operands = { x, weight: wide(weight), dy: alike(dy, x), past: beside, withWeight }
    return cudaRmsGradient(operands, epsilon, T, scope)
  }
  return composedSlopes(scope, [x, weight, dy, past], epsilon, withWeight) as [Handle, Handle?]
}

/** [x, weight, dy, past?] → [dx, dw], the latter where it is wanted */
const composedSlopes = traced((_, [x, weight, dy, past], epsilon: number, withWeight: boolean) => {
  const [exact, above] = [wide(x!), wide(dy!)]
  const inverse = inverseRms(exact, epsilon)
  const unit = mul(exact, inverse)
  const slope = mul(above, wide(weight!))
  const through = mul(inverse, sub(slope, mul(unit, mean(mul(slope, unit), [-1], true))))
  const whole = past === undefined ? through : addTo(through, wide(past))
  const dx = cast(whole, typeOf(x!))
  return withWeight ? [dx, sum(mul(above, unit), [0])] : [dx]
})

/** The gradients that were made, in the shapes of what they are of. */
const made = (
  parts: ReadonlyArray<Handle | undefined>,
  shapes: ReadonlyArray<ReadonlyArray<number>>,
  scope: KernelScope
): Array<TensorInfo> => parts.flatMap((part, i) => (part === undefined ? [] : [scope.out(part, "float32", shapes[i]!)]))

export const rmsNormGradient: Kernel = replayed(
  { inputs: ["x", "weight", "dy"], constants: ["epsilon", "withWeight"] },
  (inputs: NormInputs, numbers: GradientNumbers, scope) => {
    const operands = [dense(inputs.x, scope), dense(inputs.weight, scope), dense(inputs.dy, scope)] as const
    return made(slopes(operands, numbers, scope), [inputs.x.shape, inputs.weight.shape], scope)
  }
)

/** {sum, weight, dsum, dy} → [gradient of either summand, dweight] */
export const addRmsNormGradient: Kernel = replayed(
  { inputs: ["sum", "weight", "dsum", "dy"], constants: ["epsilon", "withWeight"] },
  (inputs: Record<"sum" | "weight" | "dsum" | "dy", TensorInfo>, numbers: GradientNumbers, scope) => {
    const operands = [inputs.sum, inputs.weight, inputs.dy, inputs.dsum].map((tensor) => dense(tensor, scope))
    const parts = slopes(operands as [Handle, Handle, Handle, Handle], numbers, scope)
    return made(parts, [inputs.sum.shape, inputs.weight.shape], scope)
  }
)

export const layerNorm: Kernel = replayed(
  { inputs: ["x", "weight", "bias"], constants: ["epsilon"] },
  (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
    const x = scope.of(inputs.x)
    const [weight, bias] = [alike(scope.of(inputs.weight), x), alike(scope.of(inputs.bias), x)]
    const [out] = layerNormOf(x, inputs.weight.shape, weight, bias, epsilon)
    return scope.out(out!, "float32", inputs.x.shape)
  }
)

export const layerNormGradient: Kernel = replayed(
  { inputs: ["x", "weight", "dy"], constants: ["epsilon", "withWeight"] },
  (inputs: NormInputs, { epsilon, withWeight }: GradientNumbers, scope) => {
    const x = scope.of(inputs.x)
    const [weight, dy] = [alike(scope.of(inputs.weight), x), alike(scope.of(inputs.dy), x)]
    const shape = inputs.weight.shape
    const [, average, inverse] = layerNormOf(x, shape, weight, undefined, epsilon)
    // the bias only says that its gradient is wanted, in its shape
    const wanted = [true, withWeight, withWeight]
    const parts = layerNormBackward(dy, x, shape, average, inverse, weight, weight, wanted)
    return made(withWeight ? parts : [parts[0]], [inputs.x.shape, shape, shape], scope)
  }
)
