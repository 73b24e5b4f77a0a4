import { backend_util, type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, Kernels } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"

const [softmax, logSoftmax, add, addScalar, sub, mul, mulScalar, div, pow, square, rsqrt] = [
  aten("softmax.int"),
  aten("log_softmax.int"),
  aten("add.Tensor"),
  aten("add.Scalar"),
  aten("sub.Tensor"),
  aten("mul.Tensor"),
  aten("mul.Scalar"),
  aten("div.Tensor"),
  aten("pow.Tensor_Scalar"),
  aten("square"),
  aten("rsqrt")
]

const softmaxKernel: Kernel = (
  { logits }: { readonly logits: TensorInfo },
  { dim }: { readonly dim: number },
  scope
) => {
  const place = util.parseAxisParam(dim, logits.shape)[0]
  return scope.out(
    softmax(scope.of(logits), place, logits.dtype === "float32" ? undefined : FLOAT32),
    "float32",
    logits.shape
  )
}

const logSoftmaxKernel: Kernel = (
  { logits }: { readonly logits: TensorInfo },
  { axis }: { readonly axis: number },
  scope
) =>
  scope.out(logSoftmax(scope.of(logits), util.parseAxisParam(axis, logits.shape)[0], FLOAT32), "float32", logits.shape)

interface BatchNormInputs {
  readonly x: TensorInfo
  readonly mean: TensorInfo
  readonly variance: TensorInfo
  readonly offset?: TensorInfo
  readonly scale?: TensorInfo
}

const fusedBatchNorm: Kernel = (
  { mean, offset, scale, variance, x }: BatchNormInputs,
  { varianceEpsilon }: { readonly varianceEpsilon: number },
  scope
) => {
  util.assert(
    mean.shape.length === variance.shape.length,
    () => "Batch normalization gradient requires mean and variance to have equal ranks."
  )
  for (const [name, tensor] of Object.entries({ offset, scale })) {
    util.assert(
      tensor == null || tensor.shape.length === mean.shape.length,
      () => `Batch normalization gradient requires mean and ${name} to have equal ranks.`
    )
  }
  for (const tensor of [mean, variance, offset, scale]) {
    if (tensor == null) continue
    const shape = backend_util.assertAndGetBroadcastShape(x.shape, tensor.shape)
    util.assertShapesMatch(shape, x.shape, "Batch normalization takes statistics of no more than its input:")
  }
  const inverse = rsqrt(addScalar(scope.of(variance), varianceEpsilon))
  const factor = scale == null ? inverse : mul(inverse, scope.of(scale))
  const scaled = mul(sub(scope.of(x), scope.of(mean)), factor)
  return scope.out(offset == null ? scaled : add(scaled, scope.of(offset)), x.dtype, x.shape)
}

interface Lrn {
  readonly depthRadius: number
  readonly bias: number
  readonly alpha: number
  readonly beta: number
}

/** Sums over the channels up to `radius` away. */
const windowSums = (x: Handle, radius: number): Handle => {
  const windows = aten("unfold")(aten("constant_pad_nd")(x, [radius, radius], 0), -1, 2 * radius + 1, 1)
  return aten("sum.dim_IntList")(windows, [-1])
}

const lrnNormalizer = (x: Handle, { alpha, bias, depthRadius }: Lrn): Handle =>
  addScalar(mulScalar(windowSums(square(x), depthRadius), alpha), bias)

const lrn: Kernel = ({ x }: { readonly x: TensorInfo }, attrs: Lrn, scope) => {
  const value = scope.of(x)
  return scope.out(mul(value, pow(lrnNormalizer(value, attrs), -attrs.beta)), x.dtype, x.shape)
}

/** dx = dy·n^−β − 2αβ·x·Σ dy·y/n, with n the normalizer. */
const lrnGradient: Kernel = ({ dy, x, y }: Record<"dy" | "x" | "y", TensorInfo>, attrs: Lrn, scope) => {
  const [value, slope] = [scope.of(x), scope.of(dy)]
  const normalizer = lrnNormalizer(value, attrs)
  const shared = windowSums(div(mul(slope, scope.of(y)), normalizer), attrs.depthRadius)
  const direct = mul(slope, pow(normalizer, -attrs.beta))
  return scope.out(sub(direct, mulScalar(mul(value, shared), 2 * attrs.alpha * attrs.beta)), x.dtype, x.shape)
}

export const normalisationKernels: Kernels = {
  FusedBatchNorm: fusedBatchNorm,
  LRN: lrn,
  LRNGrad: lrnGradient,
  LogSoftmax: logSoftmaxKernel,
  Softmax: softmaxKernel
}
