import { type DataType, type TensorInfo, upcastType, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import { type Kernel, type Kernels, sizeOf } from "../kernel.ts"
import { FLOAT32, INT32, INT64, scalarTypeOf } from "../scalar-type.ts"

interface One {
  readonly x: TensorInfo
}

const [narrow, searchSortedOf, cumsumOf, cumprodOf, flip, fullLike, cat, to] = [
  aten("narrow"),
  aten("searchsorted.Tensor"),
  aten("cumsum"),
  aten("cumprod"),
  aten("flip"),
  aten("full_like"),
  aten("cat"),
  aten("to.dtype")
]
const [viewAs, contiguous, addScalar] = [aten("view.dtype"), aten("contiguous"), aten("add.Scalar")]
const [sort, uniqueDim] = [atenAll("sort.stable"), atenAll("unique_dim")]
const [indexSelect, argsort, scatterMin, arange, full, reshape, zeros, scatterAdd] = [
  aten("index_select"),
  aten("argsort"),
  aten("scatter_reduce.two"),
  aten("arange"),
  aten("full"),
  aten("reshape"),
  aten("zeros"),
  aten("scatter_add")
]
const [ge, clampMax, eq] = [aten("ge.Scalar"), aten("clamp_max"), aten("eq.Tensor")]
const [indexAdd, lt, where, gt] = [aten("index_add"), aten("lt.Scalar"), aten("where.ScalarOther"), aten("gt.Scalar")]

/** Equal values in the order of their places, which a stable sort gives and `topk` does not. */
const topK: Kernel = ({ x }: One, { k }: { readonly k: number }, scope) => {
  const shape = [...x.shape.slice(0, -1), k]
  const [values, places] = sort(scope.of(x), true, -1, true) as [Handle, Handle]
  return [scope.out(narrow(values, -1, 0, k), x.dtype, shape), scope.out(narrow(places, -1, 0, k), "int32", shape)]
}

const searchSorted: Kernel = (
  { sortedSequence, values }: Record<"sortedSequence" | "values", TensorInfo>,
  { side }: { readonly side: "left" | "right" },
  scope
) =>
  scope.out(
    searchSortedOf(scope.of(sortedSequence), aten("contiguous")(scope.of(values)), true, side === "right"),
    "int32",
    values.shape
  )

interface Cumulative {
  readonly axis: number
  readonly exclusive: boolean
  readonly reverse: boolean
}

/** `first` is what an exclusive scan begins with. */
const cumulative =
  (scan: typeof cumsumOf, first: number): Kernel =>
  ({ x }: One, { axis, exclusive, reverse }: Cumulative, scope) => {
    // a number is a list of one
    const list = x.shape.length === 0 ? [1] : x.shape
    const place = util.parseAxisParam(axis, list)[0]!
    const dtype = upcastType(x.dtype, "int32")
    const length = list[place]!
    const value = reshape(scope.of(x), list)
    const forward = reverse ? flip(value, [place]) : value
    const shifted =
      exclusive && length > 0
        ? cat([fullLike(narrow(forward, place, 0, 1), first), narrow(forward, place, 0, length - 1)], place)
        : forward
    const result = scan(shifted, place, scalarTypeOf(dtype))
    return scope.out(reshape(reverse ? flip(result, [place]) : result, x.shape), dtype, x.shape)
  }

/** Floats by their bits, so that NaN equals itself, once all of them are one; adding 0 makes −0 the same as 0. */
const comparable = (x: Handle, dtype: DataType): Handle => {
  if (dtype !== "float32") return x
  const wide = addScalar(to(x, FLOAT32), 0)
  return viewAs(contiguous(where(eq(wide, wide), wide, Number.NaN)), INT32)
}

/** Values in the order of their first occurrence; ATen gives them sorted. */
const unique: Kernel = ({ x }: One, { axis }: { readonly axis: number }, scope) => {
  const place = util.parseAxisParam(axis, x.shape)[0]!
  const length = x.shape[place]!
  const [sorted, groups] = uniqueDim(comparable(scope.of(x), x.dtype), place, true, true, false) as [Handle, Handle]
  const count = scope.backend.addon.shape(sorted)[place]!
  const device = scope.backend.device
  const places = arange(length, INT64, undefined, device)
  const firsts = scatterMin(full([count], length, INT64, undefined, device), 0, groups, places, "amin", true)
  const order = argsort(firsts)
  const ranks = argsort(order)
  return [
    scope.out(
      x.dtype === "float32" ? viewAs(indexSelect(sorted, place, order), FLOAT32) : indexSelect(sorted, place, order),
      x.dtype
    ),
    scope.out(indexSelect(ranks, 0, groups), "int32", [length])
  ]
}

interface Bincount {
  readonly x: TensorInfo
  readonly weights: TensorInfo
}

/** Sums of the weights by value; values outside [0, size) go to one place behind, which is dropped. */
const bincount: Kernel = (
  { weights, x }: Bincount,
  { binaryOutput = false, size }: { readonly size: number; readonly binaryOutput?: boolean },
  scope
) => {
  if (sizeOf(x.shape) > 0 && scope.backend.indexRange(x)[0] < 0) throw new Error("Input x must be non-negative!")
  const [rows, columns] = (x.shape.length === 2 ? x.shape : [1, sizeOf(x.shape)]) as [number, number]
  const values = reshape(to(scope.of(x), INT64), [rows, columns])
  const places = where(lt(values, size), values, size)
  const type = weights.dtype === "int32" ? INT32 : FLOAT32
  const ones = full([rows, columns], 1, type, undefined, scope.backend.device)
  const amounts =
    sizeOf(weights.shape) === 0 || binaryOutput ? ones : to(reshape(scope.of(weights), [rows, columns]), type)
  const counts = narrow(
    scatterAdd(zeros([rows, size + 1], type, undefined, scope.backend.device), 1, places, amounts),
    1,
    0,
    size
  )
  const shape = x.shape.length === 2 ? [rows, size] : [size]
  const result = binaryOutput ? to(gt(counts, 0), type) : counts
  return scope.out(reshape(result, shape), weights.dtype, shape)
}

/** Sums of slices by segment; ids that are no segment are left out. */
const unsortedSegmentSum: Kernel = (
  { segmentIds, x }: Record<"segmentIds" | "x", TensorInfo>,
  { numSegments }: { readonly numSegments: number },
  scope
) => {
  const rank = segmentIds.shape.length
  const rest = x.shape.slice(rank)
  const ids = reshape(to(scope.of(segmentIds), INT64), [sizeOf(segmentIds.shape)])
  const places = where(ge(ids, 0), clampMax(ids, numSegments), numSegments)
  const values = reshape(scope.of(x), [sizeOf(segmentIds.shape), ...rest])
  const start = aten("new_zeros")(values, [numSegments + 1, ...rest])
  const sums = narrow(indexAdd(start, 0, places, values), 0, 0, numSegments)
  return scope.out(sums, x.dtype, [numSegments, ...rest])
}

export const sortingKernels: Kernels = {
  Bincount: bincount,
  Cumprod: cumulative(cumprodOf, 1),
  Cumsum: cumulative(cumsumOf, 0),
  DenseBincount: bincount,
  SearchSorted: searchSorted,
  TopK: topK,
  Unique: unique,
  UnsortedSegmentSum: unsortedSegmentSum
}
