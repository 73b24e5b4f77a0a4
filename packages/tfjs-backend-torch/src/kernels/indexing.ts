import { backend_util, slice_util, type DataType, type TensorInfo, upcastType, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { type Kernel, type Kernels, type KernelScope, sizeOf } from "../kernel.ts"
import { BOOL, INT64, scalarTypeOf } from "../scalar-type.ts"

interface One {
  readonly x: TensorInfo
}

const [narrow, slice, indexSelect, reshape, gather, expand, to, where] = [
  aten("narrow"),
  aten("slice.Tensor"),
  aten("index_select"),
  aten("reshape"),
  aten("gather"),
  aten("expand"),
  aten("to.dtype"),
  aten("where.self")
]
const [zeros, indexAdd, indexCopy, eq, arange, unsqueeze] = [
  aten("zeros"),
  aten("index_add"),
  aten("index_copy"),
  aten("eq.Tensor"),
  aten("arange"),
  aten("unsqueeze")
]

/** A view, or the tensor itself where all of it is taken. */
const sliceKernel: Kernel = (
  { x }: One,
  { begin, size }: { readonly begin: number | Array<number>; readonly size: number | Array<number> },
  scope
) => {
  const [starts, lengths] = slice_util.parseSliceParams(x as never, begin, size) as [Array<number>, Array<number>]
  slice_util.assertParamsValid(x as never, starts, lengths)
  if (lengths.every((length, axis) => length === x.shape[axis])) return scope.share(x)
  const view = lengths.reduce<Handle>(
    (value, length, axis) => (length === x.shape[axis] ? value : narrow(value, axis, starts[axis], length)),
    scope.of(x)
  )
  return scope.out(view, x.dtype, lengths)
}

const emptyOf = (shape: ReadonlyArray<number>, dtype: DataType, scope: KernelScope): Handle =>
  zeros(shape, scalarTypeOf(dtype), undefined, scope.backend.device)

interface StridedSlice {
  readonly begin: Array<number>
  readonly end: Array<number>
  readonly strides: Array<number>
  readonly beginMask: number
  readonly endMask: number
  readonly ellipsisMask: number
  readonly newAxisMask: number
  readonly shrinkAxisMask: number
}

const stridedSlice: Kernel = ({ x }: One, attrs: StridedSlice, scope) => {
  const { beginMask, ellipsisMask, endMask, newAxisMask, shrinkAxisMask } = attrs
  const masks = [beginMask, endMask, ellipsisMask, newAxisMask, shrinkAxisMask] as const
  const info = slice_util.sliceInfo(x.shape, attrs.begin, attrs.end, attrs.strides, ...masks)
  const { begin, end, finalShape, isIdentity, strides } = info
  if (isIdentity) return scope.share(x, finalShape)
  if (sizeOf(finalShape) === 0) return scope.out(emptyOf(finalShape, x.dtype, scope), x.dtype, finalShape)
  const part = begin.reduce((value, start, axis) => {
    const stride = strides[axis]!
    if (stride > 0) return slice(value, axis, start, Math.max(start, end[axis]!), stride)
    const length = Math.max(0, Math.ceil((end[axis]! - start) / stride))
    const places = BigInt64Array.from({ length }, (_, i) => BigInt(start + i * stride))
    return indexSelect(value, axis, scope.upload(places, [places.length], INT64))
  }, scope.of(x))
  return scope.out(reshape(part, finalShape), x.dtype, finalShape)
}

/** Before libtorch sees them: on a GPU its own check would end the context, and with it the process's work. */
const checkIndices = ([least, most]: readonly [number, number], length: number): void => {
  const outside = least < 0 ? least : most
  util.assert(least >= 0 && most < length, () => `GatherV2: the index value ${outside} is not in [0, ${length - 1}]`)
}

const gatherV2: Kernel = (
  { indices, x }: One & { readonly indices: TensorInfo },
  { axis, batchDims = 0 }: { readonly axis: number; readonly batchDims?: number },
  scope
) => {
  const place = util.parseAxisParam(axis, x.shape)[0]!
  const shapes = backend_util.segment_util.collectGatherOpShapeInfo(x as never, indices as never, place, batchDims)
  const { batchSize, dimSize, outerSize, outputShape, sliceSize } = shapes
  const perBatch = sizeOf(indices.shape) / batchSize
  checkIndices(scope.backend.indexRange(indices), x.shape[place]!)
  if (batchSize === 1) {
    const rows = indexSelect(scope.of(x), place, reshape(scope.of(indices), [perBatch]))
    return scope.out(reshape(rows, outputShape), x.dtype, outputShape)
  }
  const values = reshape(scope.of(x), [batchSize, outerSize, dimSize, sliceSize])
  const places = reshape(to(scope.of(indices), INT64), [batchSize, 1, perBatch, 1])
  const taken = gather(values, 2, expand(places, [batchSize, outerSize, perBatch, sliceSize]))
  return scope.out(reshape(taken, outputShape), x.dtype, outputShape)
}

/** Row numbers, in a matrix of `rows` slices, of index vectors [N, R] over axes with these strides; made on the host. */
const flatIndex = (indices: TensorInfo, strides: ReadonlyArray<number>, rows: number, scope: KernelScope): Handle => {
  const rank = strides.length
  const values = rank === 0 ? [] : scope.values(indices)
  const count = rank === 0 ? sizeOf(indices.shape.slice(0, -1)) : values.length / rank
  const places = BigInt64Array.from({ length: count }, (_, i) => {
    const place = strides.reduce((sum, stride, axis) => sum + stride * values[i * rank + axis]!, 0)
    if (place >= 0 && place < rows) return BigInt(place)
    throw new Error(
      `Invalid indices: [${Array.from(values).slice(i * rank, (i + 1) * rank)}] points outside the tensor`
    )
  })
  return scope.upload(places, [count], INT64)
}

const gatherNd: Kernel = ({ indices, params }: Record<"indices" | "params", TensorInfo>, _, scope) => {
  const [shape, , sliceSize, strides] = backend_util.prepareAndValidate(params as never, indices as never)
  const count = sizeOf(params.shape) / sliceSize
  const places = flatIndex(indices, strides.slice(0, indices.shape.at(-1)!), count, scope)
  const rows = reshape(scope.of(params), [count, sliceSize])
  return scope.out(reshape(indexSelect(rows, 0, places), shape), params.dtype, shape)
}

interface Scatter {
  readonly indices: TensorInfo
  readonly updates: TensorInfo
  readonly shape: Array<number>
}

/** Writes or adds slices of `updates` at the index vectors, into the matrix of slices that `start` makes. */
const scatter = (
  { indices, shape, updates }: Scatter,
  operator: typeof indexAdd,
  start: (rows: number, sliceSize: number) => Handle,
  scope: KernelScope
): TensorInfo => {
  const info = backend_util.calculateShapes(updates as never, indices as never, shape)
  const { numUpdates, outputSize, sliceRank, sliceSize, strides } = info
  if (outputSize === 0) return scope.out(emptyOf(shape, updates.dtype, scope), updates.dtype, shape)
  const places = flatIndex(indices, strides.slice(0, sliceRank), outputSize / sliceSize, scope)
  const values = reshape(expand(scope.wide(updates), updateShape(updates, numUpdates, sliceSize)), [
    numUpdates,
    sliceSize
  ])
  const result = operator(start(outputSize / sliceSize, sliceSize), 0, places, values)
  return scope.out(reshape(result, shape), updates.dtype, shape)
}

/** A single value may stand for every update. */
const updateShape = ({ shape }: TensorInfo, updates: number, sliceSize: number): ReadonlyArray<number> =>
  sizeOf(shape) === updates * sliceSize ? shape : [updates, sliceSize]

const scatterNd: Kernel = (
  { indices, updates }: Record<"indices" | "updates", TensorInfo>,
  { shape }: { readonly shape: Array<number> },
  scope
) => {
  const start = (...sizes: [number, number]) => emptyOf(sizes, updates.dtype, scope)
  return scatter({ indices, updates, shape }, indexAdd, start, scope)
}

const tensorScatterUpdate: Kernel = (
  { indices, tensor, updates }: Record<"indices" | "tensor" | "updates", TensorInfo>,
  _,
  scope
) => {
  const start = (...sizes: [number, number]) => reshape(scope.wide(tensor), sizes)
  return scatter({ indices, updates, shape: [...tensor.shape] }, indexCopy, start, scope)
}

const sparseToDense: Kernel = (
  { defaultValue, sparseIndices, sparseValues }: Record<"defaultValue" | "sparseIndices" | "sparseValues", TensorInfo>,
  { outputShape }: { readonly outputShape: Array<number> },
  scope
) => {
  const start = (...sizes: [number, number]) =>
    aten("contiguous")(expand(to(scope.of(defaultValue), scalarTypeOf(sparseValues.dtype)), sizes))
  return scatter({ indices: sparseIndices, updates: sparseValues, shape: outputShape }, indexCopy, start, scope)
}

/** A condition of rank 1 chooses whole rows. */
const select: Kernel = ({ condition, e, t }: Record<"condition" | "e" | "t", TensorInfo>, _, scope) => {
  const rank = t.shape.length
  const flags = to(scope.of(condition), BOOL)
  const rows = condition.shape.length === 1 && rank > 1
  const chosen = rows ? reshape(flags, [condition.shape[0]!, ...Array.from({ length: rank - 1 }, () => 1)]) : flags
  return scope.out(where(chosen, scope.of(t), scope.of(e)), upcastType(t.dtype, e.dtype))
}

interface OneHot {
  readonly dtype: DataType
  readonly depth: number
  readonly onValue: number
  readonly offValue: number
}

const oneHot: Kernel = (
  { indices }: { readonly indices: TensorInfo },
  { depth, dtype, offValue, onValue }: OneHot,
  scope
) => {
  const classes = arange(depth, INT64, undefined, scope.backend.device)
  const hits = to(eq(unsqueeze(scope.of(indices), -1), classes), scalarTypeOf(dtype))
  const plain = onValue === 1 && offValue === 0
  const scaled = plain ? hits : aten("add.Scalar")(aten("mul.Scalar")(hits, onValue - offValue), offValue)
  return scope.out(scaled, dtype, [...indices.shape, depth])
}

export const indexingKernels: Kernels = {
  GatherNd: gatherNd,
  GatherV2: gatherV2,
  OneHot: oneHot,
  ScatterNd: scatterNd,
  Select: select,
  Slice: sliceKernel,
  SparseToDense: sparseToDense,
  StridedSlice: stridedSlice,
  TensorScatterUpdate: tensorScatterUpdate
}
