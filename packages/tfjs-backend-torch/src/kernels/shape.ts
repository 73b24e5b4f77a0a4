import { backend_util, type TensorInfo, util } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import { type Kernel, type Kernels, sizeOf } from "../kernel.ts"
import { INT64, stored } from "../scalar-type.ts"

interface One {
  readonly x: TensorInfo
}

const [permute, repeat, pad, flip, cat, stack, reshape, indexSelect, contiguous] = [
  aten("permute"),
  aten("repeat"),
  aten("constant_pad_nd"),
  aten("flip"),
  aten("cat"),
  aten("stack"),
  aten("reshape"),
  aten("index_select"),
  aten("contiguous")
]
const [splitWithSizes, unbind] = [atenAll("split_with_sizes"), atenAll("unbind.int")]

const reshapeKernel: Kernel = ({ x }: One, { shape }: { readonly shape: Array<number> }, scope) => {
  const size = sizeOf(x.shape)
  const inferred = util.inferFromImplicitShape(shape, size)
  util.assert(size === sizeOf(inferred), () => {
    return `The new shape (${inferred}) has ${sizeOf(inferred)} elements and the old shape (${x.shape}) has ${size} elements. The new shape and old shape must have the same number of elements.`
  })
  return scope.share(x, inferred)
}

const expandDims: Kernel = ({ input }: { readonly input: TensorInfo }, { dim }: { readonly dim: number }, scope) => {
  const shape = [...input.shape]
  util.assert(
    -(shape.length + 1) <= dim,
    () => `Axis must be in the interval [${-(shape.length + 1)}, ${shape.length}]`
  )
  shape.splice(dim < 0 ? shape.length + dim + 1 : dim, 0, 1)
  return scope.share(input, shape)
}

/** A view: nothing moves until an operator needs it in order. */
const transpose: Kernel = ({ x }: One, { perm }: { readonly perm: ReadonlyArray<number> }, scope) =>
  scope.out(
    permute(scope.of(x), perm),
    x.dtype,
    perm.map((axis) => x.shape[axis]!)
  )

const tile: Kernel = ({ x }: One, { reps }: { readonly reps: ReadonlyArray<number> }, scope) =>
  scope.out(
    repeat(scope.of(x), reps),
    x.dtype,
    x.shape.map((length, axis) => length * reps[axis]!)
  )

type Paddings = ReadonlyArray<readonly [number, number]>

const paddedShape = (shape: ReadonlyArray<number>, paddings: Paddings) =>
  shape.map((length, axis) => paddings[axis]![0] + length + paddings[axis]![1])

/** ATen lists paddings from the last axis on. */
export const flatPaddings = (paddings: Paddings): ReadonlyArray<number> => paddings.toReversed().flat()

const padV2: Kernel = (
  { x }: One,
  { constantValue, paddings }: { readonly constantValue: number; readonly paddings: Paddings },
  scope
) => {
  const value = stored(constantValue, x.dtype)
  return scope.out(pad(scope.of(x), flatPaddings(paddings), value), x.dtype, paddedShape(x.shape, paddings))
}

/** Index of the element that stands at each place of a mirrored axis; `edge` is 1 where the border is not repeated. */
const mirrored = (length: number, [before, after]: readonly [number, number], edge: number): BigInt64Array =>
  BigInt64Array.from({ length: before + length + after }, (_, place) => {
    const i = place - before
    if (i < 0) return BigInt(-i - 1 + edge)
    return BigInt(i < length ? i : 2 * length - 1 - edge - i)
  })

const mirrorPad: Kernel = (
  { x }: One,
  { mode, paddings }: { readonly mode: "reflect" | "symmetric"; readonly paddings: Paddings },
  scope
) => {
  const edge = mode === "reflect" ? 1 : 0
  const result = x.shape.reduce<Handle>((value, length, axis) => {
    const index = mirrored(length, paddings[axis]!, edge)
    return indexSelect(value, axis, scope.upload(index, [index.length], INT64))
  }, scope.of(x))
  return x.shape.length === 0 ? scope.share(x) : scope.out(result, x.dtype, paddedShape(x.shape, paddings))
}

const reverse: Kernel = ({ x }: One, { dims }: { readonly dims: number | Array<number> }, scope) => {
  const axes = util.parseAxisParam(dims, x.shape)
  return x.shape.length === 0 ? scope.share(x) : scope.out(flip(scope.of(x), axes), x.dtype, x.shape)
}

const concat: Kernel = (inputs: Record<string, TensorInfo>, { axis }: { readonly axis: number }, scope) => {
  const tensors = Object.values(inputs)
  const place = util.parseAxisParam(axis, tensors[0]!.shape)[0]!
  const shapes = tensors.map(({ shape }) => shape)
  backend_util.assertParamsConsistent(shapes, place)
  const shape = backend_util.computeOutShape(shapes, place)
  const filled = tensors.filter((tensor) => sizeOf(tensor.shape) > 0)
  if (filled.length === 1) return scope.share(filled[0]!)
  const handles = (filled.length === 0 ? tensors : filled).map((tensor) => scope.of(tensor))
  return scope.out(cat(handles, place), tensors[0]!.dtype, shape)
}

const splitV: Kernel = (
  { x }: One,
  { axis, numOrSizeSplits }: { readonly axis: number; readonly numOrSizeSplits: number | Array<number> },
  scope
) => {
  const place = util.parseAxisParam(axis, x.shape)[0]!
  const sizes = backend_util.prepareSplitSize(x as never, numOrSizeSplits, place)
  return splitWithSizes(scope.of(x), sizes, place).map((part, i) =>
    scope.out(
      part,
      x.dtype,
      x.shape.map((length, a) => (a === place ? sizes[i]! : length))
    )
  )
}

const pack: Kernel = (inputs: Record<string, TensorInfo>, { axis }: { readonly axis: number }, scope) => {
  const tensors = Object.values(inputs)
  const { dtype, shape } = tensors[0]!
  for (const tensor of tensors) {
    util.assertShapesMatch(shape, tensor.shape, "All tensors passed to stack must have matching shapes")
    util.assert(dtype === tensor.dtype, () => "All tensors passed to stack must have matching dtypes")
  }
  return scope.out(
    stack(
      tensors.map((tensor) => scope.of(tensor)),
      axis
    ),
    dtype
  )
}

const unpack: Kernel = ({ value }: { readonly value: TensorInfo }, { axis }: { readonly axis: number }, scope) => {
  const place = axis < 0 ? axis + value.shape.length : axis
  const shape = value.shape.filter((_, i) => i !== place)
  return unbind(scope.of(value), place).map((part) => scope.out(part, value.dtype, shape))
}

interface Blocks {
  readonly blockShape: Array<number>
}

const batchToSpace: Kernel = (
  { x }: One,
  { blockShape, crops }: Blocks & { readonly crops: Array<Array<number>> },
  scope
) => {
  const block = blockShape.reduce((product, length) => product * length, 1)
  const parted = backend_util.getReshaped(x.shape, blockShape, block)
  const order = backend_util.getPermuted(parted.length, blockShape.length)
  const whole = backend_util.getReshapedPermuted(x.shape, blockShape, block)
  const begin = backend_util.getSliceBeginCoords(crops, blockShape.length)
  const size = whole.map((length, axis) => backend_util.getSliceSize(whole, crops, blockShape.length)[axis] ?? length)
  const grown = reshape(permute(reshape(scope.of(x), parted), order), whole)
  const cropped = size.reduce<Handle>(
    (value, length, axis) => aten("narrow")(value, axis, begin[axis] ?? 0, length),
    grown
  )
  return scope.out(cropped, x.dtype, size)
}

const spaceToBatch: Kernel = (
  { x }: One,
  { blockShape, paddings }: Blocks & { readonly paddings: Paddings },
  scope
) => {
  const block = blockShape.reduce((product, length) => product * length, 1)
  const all: Array<readonly [number, number]> = [[0, 0], ...paddings]
  while (all.length < x.shape.length) all.push([0, 0])
  const padded = paddedShape(x.shape, all)
  const parted = backend_util.getReshaped(padded, blockShape, block, false)
  const order = backend_util.getPermuted(parted.length, blockShape.length, false)
  const shape = backend_util.getReshapedPermuted(padded, blockShape, block, false)
  const cells = permute(reshape(pad(scope.of(x), flatPaddings(all)), parted), order)
  return scope.out(reshape(cells, shape), x.dtype, shape)
}

const depthToSpace: Kernel = (
  { x }: One,
  { blockSize, dataFormat }: { readonly blockSize: number; readonly dataFormat: string },
  scope
) => {
  const last = dataFormat === "NHWC"
  const [batch, a, b, c] = x.shape as [number, number, number, number]
  const [height, width, depth] = last ? [a, b, c] : [b, c, a]
  const inner = depth / (blockSize * blockSize)
  const toLast = (value: Handle) => (last ? value : permute(value, [0, 2, 3, 1]))
  const cells = reshape(toLast(scope.of(x)), [batch, height, width, blockSize, blockSize, inner])
  const image = reshape(permute(cells, [0, 1, 3, 2, 4, 5]), [batch, height * blockSize, width * blockSize, inner])
  return scope.out(last ? image : contiguous(permute(image, [0, 3, 1, 2])), x.dtype)
}

export const shapeKernels: Kernels = {
  BatchToSpaceND: batchToSpace,
  Concat: concat,
  DepthToSpace: depthToSpace,
  ExpandDims: expandDims,
  MirrorPad: mirrorPad,
  Pack: pack,
  PadV2: padV2,
  Reshape: reshapeKernel,
  Reverse: reverse,
  SpaceToBatchND: spaceToBatch,
  SplitV: splitV,
  Tile: tile,
  Transpose: transpose,
  Unpack: unpack
}
