import { backend_util, type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import { type Kernel, type Kernels, type KernelScope, sizeOf } from "../kernel.ts"
import { FLOAT32, FLOAT64, INT32 } from "../scalar-type.ts"
import { type Window, window2d, window3d } from "./window.ts"

const newZeros = aten("new_zeros")
const [where, isnan, fullLike, clampMin] = [aten("where.self"), aten("isnan"), aten("full_like"), aten("clamp_min")]
const [permute, pad, div, onesLike, mul, add] = [
  aten("permute"),
  aten("constant_pad_nd"),
  aten("div.Tensor"),
  aten("ones_like"),
  aten("mul.Scalar"),
  aten("add.Tensor")
]

/** Pooling over two or three axes, and how images lie. */
interface Dimensions {
  readonly toFirst: ReadonlyArray<number>
  readonly toLast: ReadonlyArray<number>
  readonly max: ReturnType<typeof atenAll>
  readonly maxBackward: ReturnType<typeof aten>
  readonly average: ReturnType<typeof aten>
  readonly averageBackward: ReturnType<typeof aten>
}

const two: Dimensions = {
  toFirst: [0, 3, 1, 2],
  toLast: [0, 2, 3, 1],
  max: atenAll("max_pool2d_with_indices"),
  maxBackward: aten("max_pool2d_with_indices_backward"),
  average: aten("avg_pool2d"),
  averageBackward: aten("avg_pool2d_backward")
}

const three: Dimensions = {
  toFirst: [0, 4, 1, 2, 3],
  toLast: [0, 2, 3, 4, 1],
  max: atenAll("max_pool3d_with_indices"),
  maxBackward: aten("max_pool3d_with_indices_backward"),
  average: aten("avg_pool3d"),
  averageBackward: aten("avg_pool3d_backward")
}

interface Pooling {
  readonly dimensions: Dimensions
  readonly window: Window
  readonly shape: ReadonlyArray<number>
}

interface PoolAttributes {
  readonly filterSize: [number, number] | number
  readonly strides: [number, number] | number
  readonly pad: "valid" | "same" | number
  readonly dimRoundingMode?: "floor" | "round" | "ceil"
  readonly dataFormat?: "NDHWC" | "NCDHW"
}

/** @param slopes shape of the outputs in a gradient, which tfjs does not tell how their number was rounded */
type MakePooling = (shape: ReadonlyArray<number>, attrs: PoolAttributes, slopes?: ReadonlyArray<number>) => Pooling

const pooling2d: MakePooling = (shape, { dimRoundingMode, filterSize, pad: padding, strides }, slopes) => {
  const info = backend_util.computePool2DInfo(shape as never, filterSize, strides, 1, padding, dimRoundingMode)
  const [, outHeight, outWidth] = (slopes ?? info.outShape) as [number, number, number]
  return { dimensions: two, window: window2d({ ...info, outHeight, outWidth }), shape: slopes ?? info.outShape }
}

const pooling3d: MakePooling = (shape, { dataFormat, dimRoundingMode, filterSize, pad: padding, strides }, slopes) => {
  const sizes = [filterSize, strides] as unknown as [number, number]
  const info = backend_util.computePool3DInfo(shape as never, ...sizes, 1, padding, dimRoundingMode, dataFormat)
  const [, outDepth, outHeight, outWidth] = (slopes ?? info.outShape) as [number, number, number, number]
  const window = window3d({ ...info, outDepth, outHeight, outWidth })
  return { dimensions: three, window, shape: slopes ?? info.outShape }
}

/** What ATen pools: it has no pools of whole numbers, which float64 holds. */
const numbers = (x: TensorInfo, scope: KernelScope): Handle => scope.numbers(x, x.dtype === "int32" ? FLOAT64 : FLOAT32)

const zeros = ({ sizes }: Window) => sizes.map(() => 0)

/** NaN never wins, nor does the padding. */
const maxima = (x: Handle, { dimensions, window }: Pooling) => {
  const known = where(isnan(x), fullLike(x, -Infinity), x)
  const padded = pad(permute(known, dimensions.toFirst), window.paddings, -Infinity)
  const [values, places] = dimensions.max(padded, window.sizes, window.strides, zeros(window), window.dilations) as [
    Handle,
    Handle
  ]
  return { padded, values, places }
}

/** tfjs takes windows of one place that keep the shape for the identity, even where strides and padding make them more. */
const isIdentity = ({ shape, window }: Pooling, x: TensorInfo): boolean =>
  sizeOf(window.sizes) === 1 && util.arraysEqual(shape as Array<number>, x.shape)

const maxPool =
  (make: MakePooling): Kernel =>
  ({ x }: { readonly x: TensorInfo }, attrs: PoolAttributes, scope) => {
    const pooling = make(x.shape, attrs)
    if (isIdentity(pooling, x)) return scope.share(x)
    const image = numbers(x, scope)
    if (sizeOf(pooling.shape) === 0) return scope.out(newZeros(image, pooling.shape), x.dtype, pooling.shape)
    const { values } = maxima(image, pooling)
    return scope.out(permute(values, pooling.dimensions.toLast), x.dtype, pooling.shape)
  }

const maxPoolGradient =
  (make: MakePooling): Kernel =>
  ({ dy, input }: Record<"dy" | "input", TensorInfo>, attrs: PoolAttributes, scope) => {
    const pooling = make(input.shape, attrs, dy.shape)
    if (sizeOf(dy.shape) === 0) return scope.out(newZeros(scope.of(dy), input.shape), dy.dtype, input.shape)
    const { dimensions, window } = pooling
    const { padded, places } = maxima(scope.wide(input), pooling)
    const slopes = permute(scope.wide(dy), dimensions.toFirst)
    const geometry = [window.sizes, window.strides, zeros(window), window.dilations, false]
    const gradient = dimensions.maxBackward(slopes, padded, ...geometry, places)
    return scope.out(withoutPadding(gradient, pooling), dy.dtype, input.shape)
  }

const withoutPadding = (x: Handle, { dimensions, window }: Pooling): Handle =>
  permute(
    pad(
      x,
      window.paddings.map((padding) => -padding),
      0
    ),
    dimensions.toLast
  )

/** Sums of each window; the last argument of avg_pool is what it divides by. */
const sums = (x: Handle, { dimensions, window }: Pooling): Handle =>
  dimensions.average(pad(x, window.paddings, 0), window.sizes, window.strides, zeros(window), false, true, 1)

const averagePool =
  (make: MakePooling): Kernel =>
  ({ x }: { readonly x: TensorInfo }, attrs: PoolAttributes, scope) => {
    const pooling = make(x.shape, attrs)
    if (isIdentity(pooling, x)) return scope.share(x)
    const image = permute(numbers(x, scope), pooling.dimensions.toFirst)
    if (sizeOf(pooling.shape) === 0) return scope.out(newZeros(image, pooling.shape), x.dtype, pooling.shape)
    const means = div(sums(image, pooling), clampMin(sums(onesLike(image), pooling), 1))
    return scope.out(permute(means, pooling.dimensions.toLast), x.dtype, pooling.shape)
  }

/** tfjs's gradient divides by the window's size everywhere, padded places included. */
const averagePoolGradient =
  (make: MakePooling): Kernel =>
  ({ dy, input }: Record<"dy" | "input", TensorInfo>, attrs: PoolAttributes, scope) => {
    const pooling = make(input.shape, attrs, dy.shape)
    if (sizeOf(dy.shape) === 0) return scope.out(newZeros(scope.of(dy), input.shape), dy.dtype, input.shape)
    const { dimensions, window } = pooling
    const image = pad(permute(scope.wide(input), dimensions.toFirst), window.paddings, 0)
    const geometry = [window.sizes, window.strides, zeros(window), false, true, sizeOf(window.sizes)]
    const gradient = dimensions.averageBackward(permute(scope.wide(dy), dimensions.toFirst), image, ...geometry)
    return scope.out(withoutPadding(gradient, pooling), dy.dtype, input.shape)
  }

/** Places are counted in [H, W, C], or in [N, H, W, C] where `includeBatchInIndex`. */
const maxPoolWithArgmax: Kernel = (
  { x }: { readonly x: TensorInfo },
  attrs: PoolAttributes & { readonly includeBatchInIndex: boolean },
  scope
) => {
  const pooling = pooling2d(x.shape, attrs)
  const image = numbers(x, scope)
  if (sizeOf(pooling.shape) === 0)
    return (["float32", "int32"] as const).map((dtype) =>
      scope.out(newZeros(image, pooling.shape), dtype, pooling.shape)
    )
  const { places, values } = maxima(image, pooling)
  const [batch, height, width, channels] = x.shape as [number, number, number, number]
  const [left, right, top] = pooling.window.paddings as [number, number, number]
  const padded = width + left + right
  const row = aten("sub.Scalar")(aten("div.Scalar_mode")(places, padded, "floor"), top)
  const column = aten("sub.Scalar")(aten("remainder.Scalar")(places, padded), left)
  const channel = aten("reshape")(aten("arange")(channels, INT32, undefined, scope.backend.device), [1, channels, 1, 1])
  const flat = add(mul(add(mul(row, width), column), channels), channel)
  const first = aten("reshape")(aten("arange")(batch, INT32, undefined, scope.backend.device), [batch, 1, 1, 1])
  const index = attrs.includeBatchInIndex ? add(flat, mul(first, height * width * channels)) : flat
  return [
    scope.out(permute(values, two.toLast), x.dtype, pooling.shape),
    scope.out(permute(index, two.toLast), "int32", pooling.shape)
  ]
}

export const poolKernels: Kernels = {
  AvgPool: averagePool(pooling2d),
  AvgPool3D: averagePool(pooling3d),
  AvgPool3DGrad: averagePoolGradient(pooling3d),
  AvgPoolGrad: averagePoolGradient(pooling2d),
  MaxPool: maxPool(pooling2d),
  MaxPool3D: maxPool(pooling3d),
  MaxPool3DGrad: maxPoolGradient(pooling3d),
  MaxPoolGrad: maxPoolGradient(pooling2d),
  MaxPoolWithArgmax: maxPoolWithArgmax
}
