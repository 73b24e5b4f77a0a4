import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaRmsGradient, cudaRmsNorm, fitsRmsGradient } from "./cuda/launches.ts"
import { dense, wide } from "./storage.ts"

interface Epsilon {
  readonly epsilon: number
}

const [to, mul, mean, square, rsqrt, add, sub, sum] = [
  aten("to.dtype"),
  aten("mul.Tensor"),
  aten("mean.dim"),
  aten("square"),
  aten("rsqrt"),
  aten("add.Scalar"),
  aten("sub.Tensor"),
  aten("sum.dim_IntList")
]
const [layerNormOf, layerNormBackward] = [atenAll("native_layer_norm"), atenAll("native_layer_norm_backward")]

/** The weight as the fused operators want it: in the storage of x. */
const alike = (weight: Handle, x: Handle, { backend }: KernelScope): Handle => {
  const type = backend.addon.scalarType(x)
  return backend.addon.scalarType(weight) === type ? weight : to(weight, type)
}

/** 1 / √(mean(x²) + ε), float32, [N, 1] */
const inverseRms = (x: Handle, epsilon: number): Handle => rsqrt(add(mean(square(to(x, FLOAT32)), [-1], true), epsilon))

type NormInputs = Record<"x" | "weight" | "bias" | "dy", TensorInfo>

export const rmsNorm: Kernel = (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
  const [x, weight] = [dense(inputs.x, scope), dense(inputs.weight, scope)]
  const T = cudaStorage([x], scope)
  if (T !== undefined) {
    return scope.out(cudaRmsNorm(x, wide(weight, scope), epsilon, T, scope), "float32", inputs.x.shape)
  }
  const normed = mul(mul(to(x, FLOAT32), inverseRms(x, epsilon)), to(weight, FLOAT32))
  return scope.out(to(normed, scope.backend.addon.scalarType(x)), "float32", inputs.x.shape)
}

/** With r = 1/√(mean(x²) + ε), x̂ = r·x and g = dy·w: dx = r·(g − x̂·mean(g·x̂)), dw = Σ over rows of dy·x̂. */
export const rmsNormGradient: Kernel = (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
  const [x, weight, dy] = [dense(inputs.x, scope), dense(inputs.weight, scope), dense(inputs.dy, scope)]
  const T = cudaStorage([x], scope)
  if (T !== undefined && fitsRmsGradient(inputs.weight.shape[0]!)) {
    const operands = [x, wide(weight, scope), alike(dy, x, scope)] as const
    const [dx, dw] = cudaRmsGradient(operands, epsilon, T, scope)
    return [scope.out(dx, "float32", inputs.x.shape), scope.out(dw, "float32", inputs.weight.shape)]
  }
  const inverse = inverseRms(x, epsilon)
  const unit = mul(to(x, FLOAT32), inverse)
  const slope = mul(to(dy, FLOAT32), to(weight, FLOAT32))
  const dx = mul(inverse, sub(slope, mul(unit, mean(mul(slope, unit), [-1], true))))
  return [
    scope.out(to(dx, scope.backend.addon.scalarType(x)), "float32", inputs.x.shape),
    scope.out(sum(mul(to(dy, FLOAT32), unit), [0]), "float32", inputs.weight.shape)
  ]
}

export const layerNorm: Kernel = (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
  const x = scope.of(inputs.x)
  const [weight, bias] = [alike(scope.of(inputs.weight), x, scope), alike(scope.of(inputs.bias), x, scope)]
  const [out] = layerNormOf(x, inputs.weight.shape, weight, bias, epsilon)
  return scope.out(out!, "float32", inputs.x.shape)
}

export const layerNormGradient: Kernel = (inputs: NormInputs, { epsilon }: Epsilon, scope) => {
  const x = scope.of(inputs.x)
  const [weight, dy] = [alike(scope.of(inputs.weight), x, scope), alike(scope.of(inputs.dy), x, scope)]
  const shape = inputs.weight.shape
  const [, average, inverse] = layerNormOf(x, shape, weight, undefined, epsilon)
  // The bias only says that its gradient is wanted, in its shape.
  const [dx, dw, db] = layerNormBackward(dy, x, shape, average, inverse, weight, weight, [true, true, true])
  return [scope.out(dx!, "float32", inputs.x.shape), scope.out(dw!, "float32", shape), scope.out(db!, "float32", shape)]
}
