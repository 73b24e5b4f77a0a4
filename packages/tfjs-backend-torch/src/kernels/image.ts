import { kernel_impls, type TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, Kernels, KernelScope } from "../kernel.ts"
import { FLOAT32, INT64 } from "../scalar-type.ts"

const [indexSelect, indexAdd, mul, add, sub, newZeros, flip] = [
  aten("index_select"),
  aten("index_add"),
  aten("mul.Tensor"),
  aten("add.Tensor"),
  aten("sub.Tensor"),
  aten("new_zeros"),
  aten("flip")
]

interface Resize {
  readonly alignCorners: boolean
  readonly halfPixelCenters?: boolean
  readonly size: readonly [number, number]
}

/** Input places per output place along one axis. */
const pace = (input: number, output: number, alignCorners: boolean): number =>
  alignCorners && output > 1 ? (input - 1) / (output - 1) : input / output

/** The two input places each output place lies between, and how near it is to the second. */
interface Blend {
  readonly below: Handle
  readonly above: Handle
  readonly share: Handle
  readonly rest: Handle
}

const blend = (input: number, output: number, axis: number, attrs: Resize, scope: KernelScope): Blend => {
  const ratio = pace(input, output, attrs.alignCorners)
  const exact = Array.from({ length: output }, (_, i) => (attrs.halfPixelCenters ? ratio * (i + 0.5) - 0.5 : ratio * i))
  const floors = exact.map((place) => Math.max(0, Math.floor(place)))
  const ceilings = exact.map((place) => Math.min(input - 1, Math.ceil(place)))
  const shares = Float32Array.from(exact, (place, i) => place - floors[i]!)
  const shape = [1, 1, 1, 1].map((_, i) => (i === axis ? output : 1))
  return {
    below: places(floors, scope),
    above: places(ceilings, scope),
    share: scope.upload(shares, shape, FLOAT32),
    rest: scope.upload(
      shares.map((share) => 1 - share),
      shape,
      FLOAT32
    )
  }
}

const places = (values: ReadonlyArray<number>, scope: KernelScope): Handle =>
  scope.upload(BigInt64Array.from(values, BigInt), [values.length], INT64)

const ROW_AXIS = 1
const COLUMN_AXIS = 2

const stretch = (image: Handle, axis: number, { above, below, share }: Blend): Handle => {
  const [first, second] = [indexSelect(image, axis, below), indexSelect(image, axis, above)]
  return add(first, mul(sub(second, first), share))
}

/** The transpose of `stretch`: each output place gives its slope back to the two it came from. */
const shrink = (dy: Handle, axis: number, length: number, { above, below, rest, share }: Blend, scope: KernelScope) => {
  const shape = scope.backend.addon.shape(dy)
  const start = newZeros(
    dy,
    shape.map((size, i) => (i === axis ? length : size))
  )
  return indexAdd(indexAdd(start, axis, below, mul(dy, rest)), axis, above, mul(dy, share))
}

const resizeBilinear: Kernel = ({ images }: { readonly images: TensorInfo }, attrs: Resize, scope) => {
  const [batch, height, width, channels] = images.shape as [number, number, number, number]
  const [newHeight, newWidth] = attrs.size
  const columns = stretch(
    scope.numbers(images, FLOAT32),
    COLUMN_AXIS,
    blend(width, newWidth, COLUMN_AXIS, attrs, scope)
  )
  const rows = stretch(columns, ROW_AXIS, blend(height, newHeight, ROW_AXIS, attrs, scope))
  return scope.out(rows, "float32", [batch, newHeight, newWidth, channels])
}

const resizeBilinearGradient: Kernel = ({ dy, images }: Record<"dy" | "images", TensorInfo>, attrs: Resize, scope) => {
  const [, height, width] = images.shape as [number, number, number]
  const [, newHeight, newWidth] = dy.shape as [number, number, number]
  const rows = shrink(scope.of(dy), ROW_AXIS, height, blend(height, newHeight, ROW_AXIS, attrs, scope), scope)
  const columns = shrink(rows, COLUMN_AXIS, width, blend(width, newWidth, COLUMN_AXIS, attrs, scope), scope)
  return scope.out(columns, "float32", images.shape)
}

const nearest = (input: number, output: number, attrs: Resize, scope: KernelScope): Handle => {
  const ratio = pace(input, output, attrs.alignCorners)
  const round = attrs.alignCorners ? Math.round : Math.floor
  const exact = Array.from({ length: output }, (_, i) => ratio * (attrs.halfPixelCenters ? i + 0.5 : i))
  return places(
    exact.map((place) => Math.max(0, Math.min(input - 1, round(place)))),
    scope
  )
}

const resizeNearest: Kernel = ({ images }: { readonly images: TensorInfo }, attrs: Resize, scope) => {
  const [batch, height, width, channels] = images.shape as [number, number, number, number]
  const [newHeight, newWidth] = attrs.size
  const rows = indexSelect(scope.of(images), ROW_AXIS, nearest(height, newHeight, attrs, scope))
  const result = indexSelect(rows, COLUMN_AXIS, nearest(width, newWidth, attrs, scope))
  return scope.out(result, images.dtype, [batch, newHeight, newWidth, channels])
}

const resizeNearestGradient: Kernel = ({ dy, images }: Record<"dy" | "images", TensorInfo>, attrs: Resize, scope) => {
  const [batch, height, width, channels] = images.shape as [number, number, number, number]
  const [, newHeight, newWidth] = dy.shape as [number, number, number]
  const slopes = scope.of(dy)
  const wide = newZeros(slopes, [batch, height, newWidth, channels])
  const rows = indexAdd(wide, ROW_AXIS, nearest(height, newHeight, attrs, scope), slopes)
  const start = newZeros(slopes, images.shape)
  return scope.out(
    indexAdd(start, COLUMN_AXIS, nearest(width, newWidth, attrs, scope), rows),
    images.dtype,
    images.shape
  )
}

const flipLeftRight: Kernel = ({ image }: { readonly image: TensorInfo }, _, scope) =>
  scope.out(flip(scope.of(image), [COLUMN_AXIS]), image.dtype, image.shape)

interface Suppression {
  readonly maxOutputSize: number
  readonly iouThreshold: number
  readonly scoreThreshold: number
  readonly padToMaxOutputSize: boolean
  readonly softNmsSigma: number
}

type Boxes = Record<"boxes" | "scores", TensorInfo>

/** Choosing boxes is a short loop over a few numbers, which tfjs-core itself has: it runs on the host. */
const chosen = (
  { boxes, scores }: Boxes,
  scope: KernelScope,
  choose: (boxes: Float32Array, scores: Float32Array) => ReadonlyArray<Int32Array | Float32Array | number>
): Array<TensorInfo> =>
  choose(scope.values(boxes) as Float32Array, scope.values(scores) as Float32Array).map((values) => {
    const array = typeof values === "number" ? Int32Array.of(values) : values
    const [shape, dtype] = [
      typeof values === "number" ? [] : [array.length],
      array instanceof Int32Array ? "int32" : "float32"
    ] as const
    return { dataId: scope.backend.write(array, [...shape], dtype), shape: [...shape], dtype }
  })

const suppressV3: Kernel = (inputs: Boxes, { iouThreshold, maxOutputSize, scoreThreshold }: Suppression, scope) =>
  chosen(inputs, scope, (boxes, scores) => {
    const { selectedIndices } = kernel_impls.nonMaxSuppressionV3Impl(
      boxes,
      scores,
      maxOutputSize,
      iouThreshold,
      scoreThreshold
    )
    return [Int32Array.from(selectedIndices)]
  })[0]!

const suppressV4: Kernel = (inputs: Boxes, attrs: Suppression, scope) =>
  chosen(inputs, scope, (boxes, scores) => {
    const { iouThreshold, maxOutputSize, padToMaxOutputSize, scoreThreshold } = attrs
    const limits = [maxOutputSize, iouThreshold, scoreThreshold, padToMaxOutputSize] as const
    const { selectedIndices, validOutputs } = kernel_impls.nonMaxSuppressionV4Impl(boxes, scores, ...limits)
    return [Int32Array.from(selectedIndices), validOutputs!]
  })

const suppressV5: Kernel = (inputs: Boxes, attrs: Suppression, scope) =>
  chosen(inputs, scope, (boxes, scores) => {
    const { iouThreshold, maxOutputSize, scoreThreshold, softNmsSigma } = attrs
    const limits = [maxOutputSize, iouThreshold, scoreThreshold, softNmsSigma] as const
    const { selectedIndices, selectedScores } = kernel_impls.nonMaxSuppressionV5Impl(boxes, scores, ...limits)
    return [Int32Array.from(selectedIndices), Float32Array.from(selectedScores!)]
  })

export const imageKernels: Kernels = {
  FlipLeftRight: flipLeftRight,
  NonMaxSuppressionV3: suppressV3,
  NonMaxSuppressionV4: suppressV4,
  NonMaxSuppressionV5: suppressV5,
  ResizeBilinear: resizeBilinear,
  ResizeBilinearGrad: resizeBilinearGradient,
  ResizeNearestNeighbor: resizeNearest,
  ResizeNearestNeighborGrad: resizeNearestGradient
}
