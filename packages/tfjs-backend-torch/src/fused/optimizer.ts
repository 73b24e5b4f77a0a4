import type { TensorInfo } from "@tensorflow/tfjs-core"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel } from "../kernel.ts"
import { FLOAT32, FLOAT64 } from "../scalar-type.ts"

const [vectorNorm, to, sub, nanToNum, stack, clone, mul, full] = [
  aten("linalg_vector_norm"),
  aten("to.dtype"),
  aten("sub.Tensor"),
  aten("nan_to_num"),
  aten("stack"),
  aten("clone"),
  aten("mul.Scalar"),
  aten("full")
]
const fusedAdamw = atenInPlace("_fused_adamw_")

/** √Σx² added up in float64, as two float32 numbers whose sum it is. */
export const tensorNorm: Kernel = ({ x }: Record<"x", TensorInfo>, _, scope) => {
  const exact = vectorNorm(scope.of(x), 2, undefined, false, FLOAT64)
  const rounded = to(exact, FLOAT32)
  // ∞ − ∞ is NaN, for which no rest is left.
  const rest = nanToNum(to(sub(exact, rounded), FLOAT32), 0, 0, 0)
  return scope.out(stack([rounded, rest]), "float32", [2])
}

interface AdamwAttributes {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly gradientScale: number
  /** 1 − learning rate · weight decay */
  readonly decay: number
  /** learning rate / (1 − β₁ᵗ) */
  readonly stepSize: number
  /** 1 / √(1 − β₂ᵗ) */
  readonly denominatorScale: number
}

/** A step so late that ATen's own bias corrections are 1: the caller's factors hold them. */
const LATE = 1e9

/**
 * {parameter, gradient, firstMoment, secondMoment} → the updated three, in place where unshared, in one pass of ATen's
 * fused AdamW. With c = `denominatorScale`: stepSize·m / (c·√v + ε) = (stepSize/c)·m / (√v + ε/c).
 */
export const adamw: Kernel = (
  inputs: Record<"parameter" | "gradient" | "firstMoment" | "secondMoment", TensorInfo>,
  attrs: AdamwAttributes,
  scope
) => {
  const { beta1, beta2, decay, denominatorScale, epsilon, gradientScale, stepSize } = attrs
  const tensors = [inputs.parameter, inputs.firstMoment, inputs.secondMoment]
  const shared = tensors.map((tensor) => scope.backend.isShared(tensor))
  const handles = tensors.map((tensor, i) => (shared[i] === true ? clone(scope.of(tensor)) : scope.of(tensor)))
  const [parameter, first, second] = handles
  const gradient = to(scope.of(inputs.gradient), FLOAT32)
  const slope = gradientScale === 1 ? gradient : mul(gradient, gradientScale)
  const rate = stepSize / denominatorScale
  const weightDecay = rate === 0 ? 0 : (1 - decay) / rate
  const late = full([], LATE, FLOAT32, undefined, scope.backend.device)
  const lists = [[parameter], [slope], [first], [second], [], [late]]
  fusedAdamw(...lists, rate, beta1, beta2, weightDecay, epsilon / denominatorScale, false, false)
  return tensors.map((tensor, i) =>
    shared[i] === true ? scope.out(handles[i]!, tensor.dtype, tensor.shape) : scope.share(tensor)
  )
}
