import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace, atenOwned } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { BFLOAT16, FLOAT32, FLOAT64 } from "../scalar-type.ts"
import { cudaStorage, launch, spread } from "./cuda/kernels.ts"
import { cudaNorm } from "./cuda/launches.ts"
import { dense, isHostFloat, typeOf, wide } from "./storage.ts"

const [vectorNorm, to, sub, nanToNum, stack, clone, mul] = [
  aten("linalg_vector_norm"),
  aten("to.dtype"),
  aten("sub.Tensor"),
  aten("nan_to_num"),
  aten("stack"),
  aten("clone"),
  aten("mul.Scalar")
]
const full = atenOwned("full")
const reshape = aten("reshape")
const [fusedAdamw, copyInto] = [atenInPlace("_fused_adamw_"), atenInPlace("copy_")]

/** A float64 number as float32 and what the rounding left. */
const twoParts = (exact: Handle): Handle => {
  const rounded = to(exact, FLOAT32)
  // ∞ − ∞ is NaN, for which no rest is left
  return stack([rounded, nanToNum(to(sub(exact, rounded), FLOAT32), 0, 0, 0)])
}

/** √Σx² of all inputs together, added up in float64, as two float32 numbers whose sum it is; one launch each and one for their sum on CUDA. */
export const globalNorm: Kernel = (inputs: Record<string, TensorInfo>, _, scope) => {
  const values = Object.values(inputs).map((x) => dense(x, scope))
  const onCuda = values.every((value) => cudaStorage([value], scope) !== undefined)
  if (onCuda) return scope.out(cudaNorm(values, scope), "float32", [2])
  if (values.every((value) => isHostFloat(value, scope))) return scope.out(hostNorm(values, scope), "float32", [2])
  const norms = values.map((value) => vectorNorm(value, 2, undefined, false, FLOAT64))
  return scope.out(twoParts(vectorNorm(stack(norms), 2, undefined, false, FLOAT64)), "float32", [2])
}

const hostNorm = (values: ReadonlyArray<Handle>, scope: KernelScope): Handle => {
  const norm = Math.sqrt(values.reduce((sum, value) => sum + scope.backend.addon.squareSum(value), 0))
  const rounded = Math.fround(norm)
  return scope.upload(Float32Array.of(rounded, Number.isFinite(rounded) ? norm - rounded : 0), [2], FLOAT32)
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

/** That step on the device, made once: a process computes on one. */
let lateStep: Handle | undefined

type Updated = readonly [parameter: Handle, firstMoment: Handle, secondMoment: Handle]

/**
 * {parameter, gradient, firstMoment, secondMoment} → the updated three, in place where unshared. The copy of the
 * parameter that products read is renewed with it.
 */
export const adamw: Kernel = (
  inputs: Record<"parameter" | "gradient" | "firstMoment" | "secondMoment", TensorInfo>,
  attrs: AdamwAttributes,
  scope
) => {
  const tensors = [inputs.parameter, inputs.firstMoment, inputs.secondMoment]
  const shared = tensors.map((tensor) => scope.backend.isShared(tensor))
  const handles = tensors.map((tensor, i) => (shared[i] === true ? clone(scope.of(tensor)) : scope.of(tensor)))
  const updated = handles as unknown as Updated
  const gradient = dense(inputs.gradient, scope)
  const copy = shared[0] === true ? undefined : scope.backend.companion(inputs.parameter)
  const T = cudaStorage([gradient], scope)
  if (T === undefined) atenAdamw(updated, gradient, attrs, scope)
  else cudaAdamw(updated, { gradient, copy, T, size: sizeOf(inputs.parameter.shape) }, attrs, scope)
  if (copy !== undefined && (T === undefined || typeOf(copy, scope) !== BFLOAT16))
    copyInto(copy, reshape(updated[0], scope.backend.addon.shape(copy)))
  return tensors.map((tensor, i) =>
    shared[i] === true ? scope.out(handles[i]!, tensor.dtype, tensor.shape) : scope.written(tensor)
  )
}

/** One pass of ATen's fused AdamW. With c = `denominatorScale`: s·m / (c·√v + ε) = (s/c)·m / (√v + ε/c). */
const atenAdamw = (
  [parameter, first, second]: Updated,
  gradient: Handle,
  attrs: AdamwAttributes,
  scope: KernelScope
): void => {
  const { beta1, beta2, decay, denominatorScale, epsilon, gradientScale, stepSize } = attrs
  const exact = wide(gradient, scope)
  const slope = gradientScale === 1 ? exact : mul(exact, gradientScale)
  const rate = stepSize / denominatorScale
  const weightDecay = rate === 0 ? 0 : (1 - decay) / rate
  lateStep ??= full([], LATE, FLOAT32, undefined, scope.backend.device)
  const lists = [[parameter], [slope], [first], [second], [], [lateStep]]
  fusedAdamw(...lists, rate, beta1, beta2, weightDecay, epsilon / denominatorScale, false, false)
}

interface CudaAdamw {
  readonly gradient: Handle
  readonly copy: Handle | undefined
  readonly T: string
  readonly size: number
}

const cudaAdamw = (
  updated: Updated,
  { T, copy, gradient, size }: CudaAdamw,
  attrs: AdamwAttributes,
  scope: KernelScope
): void => {
  const { beta1, beta2, decay, denominatorScale, epsilon, gradientScale, stepSize } = attrs
  const [parameter, first, second] = updated
  // 16 bytes of float32 a thread: with 32, neighbours' accesses leave gaps and each sector is written in two halves
  const W = size % 4 === 0 ? 4 : 1
  const narrow = copy !== undefined && typeOf(copy, scope) === BFLOAT16 ? copy : null
  const numbers = [size / W, beta1, beta2, epsilon, decay, stepSize, denominatorScale, gradientScale]
  const args = [parameter, gradient, first, second, narrow, ...numbers]
  launch("adamw", { ...spread(size / W), macros: { T, W }, args }, scope)
}
