import { type DataType, type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { type Kernel, type Kernels, sizeOf } from "../kernel.ts"
import { BOOL, FLOAT32, INT32, scalarTypeOf } from "../scalar-type.ts"

interface Reduction {
  readonly axis: number | Array<number>
  readonly keepDims?: boolean
}

const [to, movedim, flatten, where, isnan, fullLike] = [
  aten("to.dtype"),
  aten("movedim.intlist"),
  aten("flatten.using_ints"),
  aten("where.self"),
  aten("isnan"),
  aten("full_like")
]

const reducedShape = (shape: ReadonlyArray<number>, axes: ReadonlyArray<number>, keepDims: boolean) =>
  shape.flatMap((length, axis) => (axes.includes(axis) ? (keepDims ? [1] : []) : [length]))

/** `reduce` never sees an empty list of axes, which ATen takes for all of them. */
const reduction =
  (
    resultType: (dtype: DataType) => DataType,
    reduce: (x: Handle, axes: ReadonlyArray<number>, keepDims: boolean, dtype: DataType) => Handle
  ): Kernel =>
  ({ x }: { readonly x: TensorInfo }, { axis, keepDims = false }: Reduction, scope) => {
    const axes = util.parseAxisParam(axis, x.shape)
    const dtype = resultType(x.dtype)
    if (axes.length === 0)
      return x.dtype === dtype ? scope.share(x) : scope.out(to(scope.of(x), FLOAT32), dtype, x.shape)
    return scope.out(reduce(scope.of(x), axes, keepDims, dtype), dtype, reducedShape(x.shape, axes, keepDims))
  }

const same = (dtype: DataType): DataType => dtype
const counted = (dtype: DataType): DataType => (dtype === "bool" ? "int32" : dtype)
const typeOf = (dtype: DataType) => (dtype === "int32" ? INT32 : dtype === "float32" ? FLOAT32 : undefined)

const [full, zeros] = [aten("full"), aten("zeros")]
const [sum, mean, amax, amin, prod, all, any] = [
  aten("sum.dim_IntList"),
  aten("mean.dim"),
  aten("amax"),
  aten("amin"),
  aten("prod.dim_int"),
  aten("all.dims"),
  aten("any.dims")
]

/** Products go over one axis in ATen: the reduced ones are laid together at the end. */
const product = (x: Handle, axes: ReadonlyArray<number>, keepDims: boolean, dtype: DataType): Handle => {
  if (axes.length === 1) return prod(x, axes[0], keepDims, typeOf(dtype))
  const moved = flatten(
    movedim(
      x,
      axes,
      axes.map((_, i) => i - axes.length)
    ),
    -axes.length,
    -1
  )
  const result = prod(moved, -1, false, typeOf(dtype))
  return keepDims
    ? axes.toSorted((a, b) => a - b).reduce<Handle>((kept, axis) => aten("unsqueeze")(kept, axis), result)
    : result
}

/** The first place of the extreme value, NaN set aside. */
const extremePlace = (name: string, worst: number): Kernel => {
  const operator = aten(name)
  return ({ x }: { readonly x: TensorInfo }, { axis }: { readonly axis: number }, scope) => {
    const [place] = util.parseAxisParam(axis, x.shape) as [number]
    const value = scope.of(x)
    const shape = reducedShape(x.shape, [place], false)
    if (x.shape.length === 0) return scope.out(aten("zeros_like")(value, INT32), "int32", shape)
    // tfjs answers with the first place, where ATen refuses to look for one among none
    if (sizeOf(x.shape) === 0) return scope.out(zeros(shape, INT32, undefined, scope.backend.device), "int32", shape)
    const numbers = x.dtype === "float32" ? where(isnan(value), fullLike(value, worst), value) : value
    return scope.out(operator(x.dtype === "bool" ? to(numbers, INT32) : numbers, place), "int32", shape)
  }
}

/** What the greatest and the least of no numbers are. */
const NOTHING: Readonly<Record<string, readonly [greatest: number, least: number]>> = {
  bool: [0, 1],
  float32: [-Infinity, Infinity],
  int32: [-(2 ** 31), 2 ** 31 - 1]
}

const extreme = (side: 0 | 1, axisName: "axis" | "reductionIndices"): Kernel => {
  const operator = [amax, amin][side]!
  const reduce = reduction(same, (x, axes, keepDims) => operator(x, axes, keepDims))
  return (inputs: { readonly x: TensorInfo }, attrs: Record<string, unknown>, scope) => {
    const { x } = inputs
    const [axis, keepDims] = [attrs[axisName] as Reduction["axis"], attrs["keepDims"] === true]
    if (sizeOf(x.shape) > 0) return reduce(inputs, { axis, keepDims }, scope)
    // ATen refuses to reduce an axis without elements
    const shape = reducedShape(x.shape, util.parseAxisParam(axis, x.shape), keepDims)
    const value = NOTHING[x.dtype]![side]
    return scope.out(full(shape, value, scalarTypeOf(x.dtype), undefined, scope.backend.device), x.dtype, shape)
  }
}

export const reductionKernels: Kernels = {
  All: reduction(
    () => "bool",
    (x, axes, keepDims) => all(to(x, BOOL), axes, keepDims)
  ),
  Any: reduction(
    () => "bool",
    (x, axes, keepDims) => any(to(x, BOOL), axes, keepDims)
  ),
  ArgMax: extremePlace("argmax", -Infinity),
  ArgMin: extremePlace("argmin", Infinity),
  Max: extreme(0, "reductionIndices"),
  Mean: reduction(
    (dtype) => (dtype === "complex64" ? dtype : "float32"),
    (x, axes, keepDims, dtype) => mean(x, axes, keepDims, typeOf(dtype))
  ),
  Min: extreme(1, "axis"),
  Prod: reduction(counted, product),
  Sum: reduction(counted, (x, axes, keepDims, dtype) => sum(x, axes, keepDims, typeOf(dtype)))
}
