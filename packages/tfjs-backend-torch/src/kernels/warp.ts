import { backend_util, type TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { type Kernel, type Kernels, type KernelScope, sizeOf } from "../kernel.ts"
import { BOOL, FLOAT32, INT64 } from "../scalar-type.ts"

// Where an output pixel comes from is worked out on the host, where other backends do it, too; pixels move on the device.

const [indexSelect, reshape, where, mul, add] = [
  aten("index_select"),
  aten("reshape"),
  aten("where.self"),
  aten("mul.Tensor"),
  aten("add.Tensor")
]

type ImageShape = readonly [batch: number, height: number, width: number, channels: number]

/** Where the pixels of an output [P, C] lie in images, perhaps between pixels or outside. */
interface Places {
  readonly image: Int32Array
  readonly y: Float64Array
  readonly x: Float64Array
}

const OUTSIDE = -2

/** `place` gives y and x; where they are no numbers, or `undefined`, the output pixel comes from outside. */
const placesOf = (
  [count, height, width]: readonly [number, number, number],
  place: (image: number, row: number, column: number) => readonly [y: number, x: number] | undefined,
  imageOf = (image: number) => image
): Places => {
  const size = count * height * width
  const places = { image: new Int32Array(size), y: new Float64Array(size), x: new Float64Array(size) }
  for (let i = 0; i < size; i++) {
    const image = Math.floor(i / (height * width))
    const [y, x] = place(image, Math.floor(i / width) % height, i % width) ?? [Number.NaN, Number.NaN]
    const isNumber = Number.isFinite(y) && Number.isFinite(x)
    places.image[i] = imageOf(image)
    places.y[i] = isNumber ? y : OUTSIDE
    places.x[i] = isNumber ? x : OUTSIDE
  }
  return places
}

/** The pixels [P, C] at whole places, `fill` where a place is outside. */
const pixelsAt = (
  pixels: Handle,
  { image, x, y }: Places,
  [, height, width]: ImageShape,
  fill: Handle,
  scope: KernelScope
): Handle => {
  const inside = Uint8Array.from(y, (row, i) => Number(row >= 0 && row < height && x[i]! >= 0 && x[i]! < width))
  const rows = BigInt64Array.from(inside, (flag, i) => BigInt(flag * ((image[i]! * height + y[i]!) * width + x[i]!)))
  const taken = indexSelect(pixels, 0, scope.upload(rows, [rows.length], INT64))
  return where(scope.upload(inside, [inside.length, 1], BOOL), taken, fill)
}

type Sample = (pixels: Handle, places: Places, shape: ImageShape, fill: Handle, scope: KernelScope) => Handle

const nearest: Sample = (pixels, { image, x, y }, ...rest) =>
  pixelsAt(pixels, { image, y: y.map(Math.round), x: x.map(Math.round) }, ...rest)

/** Between the four pixels around a place, by how near it is to each. */
const bilinear: Sample = (pixels, { image, x, y }, shape, fill, scope) => {
  const share = (values: Float64Array) =>
    scope.upload(
      Float32Array.from(values, (value) => value - Math.floor(value)),
      [values.length, 1],
      FLOAT32
    )
  const rest = (values: Float64Array) =>
    scope.upload(
      Float32Array.from(values, (value) => 1 - value + Math.floor(value)),
      [values.length, 1],
      FLOAT32
    )
  const at = (down: number, right: number) => {
    const corner = {
      image,
      y: y.map((value) => Math.floor(value) + down),
      x: x.map((value) => Math.floor(value) + right)
    }
    return pixelsAt(pixels, corner, shape, fill, scope)
  }
  const row = (down: number) => add(mul(at(down, 0), rest(x)), mul(at(down, 1), share(x)))
  return add(mul(row(0), rest(y)), mul(row(1), share(y)))
}

const samples: Readonly<Record<string, Sample>> = { bilinear, nearest }

/** Output pixels [count, height, width, channels] of float32, `fill` [1] or [C] where they come from outside. */
const warped = (
  image: TensorInfo,
  places: Places,
  method: string,
  fill: ReadonlyArray<number>,
  scope: KernelScope
): Handle => {
  const sample = samples[method]
  if (sample === undefined) throw new Error(`Images are sampled "nearest" or "bilinear", but not "${method}"`)
  const shape = image.shape as unknown as ImageShape
  const pixels = reshape(scope.numbers(image, FLOAT32), [sizeOf(shape.slice(0, 3)), shape[3]])
  return sample(pixels, places, shape, scope.upload(Float32Array.from(fill), [1, fill.length], FLOAT32), scope)
}

interface Crop {
  readonly cropSize: readonly [number, number]
  readonly method: string
  readonly extrapolationValue: number
}

/** The place of output line `i` of `count`, on an axis of `length` pixels of which the box covers a part. */
const boxPlace = (i: number, count: number, from: number, to: number, length: number): number =>
  count > 1 ? from * (length - 1) + (i * (to - from) * (length - 1)) / (count - 1) : 0.5 * (from + to) * (length - 1)

const cropAndResize: Kernel = (
  { boxes, boxInd, image }: Record<"boxes" | "boxInd" | "image", TensorInfo>,
  { cropSize: [rows, columns], extrapolationValue, method }: Crop,
  scope
) => {
  const [batch, height, width, channels] = image.shape as unknown as ImageShape
  const [count, corners, images] = [boxes.shape[0]!, scope.values(boxes), scope.values(boxInd)]
  const shape = [count, rows, columns, channels]
  const known = Array.from(images).every((place) => place >= 0 && place < batch)
  if (!known) throw new Error(`CropAndResize: boxInd [${Array.from(images)}] is to be in [0, ${batch - 1}]`)
  const places = placesOf(
    [count, rows, columns],
    (box, row, column) => {
      const [top, left, bottom, right] = Array.from({ length: 4 }, (_, i) => corners[4 * box + i]!)
      const y = boxPlace(row, rows, top!, bottom!, height)
      const x = boxPlace(column, columns, left!, right!, width)
      return y < 0 || y > height - 1 || x < 0 || x > width - 1 ? undefined : [y, x]
    },
    (box) => images[box]!
  )
  return scope.out(reshape(warped(image, places, method, [extrapolationValue], scope), shape), "float32", shape)
}

interface Rotation {
  readonly radians: number
  readonly fillValue: number | readonly [number, number, number]
  readonly center: number | [number, number]
}

const rotateWithOffset: Kernel = (
  { image }: { readonly image: TensorInfo },
  { center, fillValue, radians }: Rotation,
  scope
) => {
  const [batch, height, width, channels] = image.shape as unknown as ImageShape
  const [middleX, middleY] = backend_util.getImageCenter(center, height, width)
  const [sine, cosine] = [Math.sin(radians), Math.cos(radians)]
  const places = placesOf([batch, height, width], (_, row, column) => {
    const [x, y] = [column - middleX, row - middleY]
    return [x * sine + y * cosine + middleY, x * cosine - y * sine + middleX]
  })
  // a colour has three channels; the fourth is opacity
  const colour = (channel: number) => (fillValue as ReadonlyArray<number>)[channel] ?? (channel === 3 ? 255 : 0)
  const fill = typeof fillValue === "number" ? [fillValue] : Array.from({ length: channels }, (_, i) => colour(i))
  return scope.out(reshape(warped(image, places, "nearest", fill, scope), image.shape), image.dtype, image.shape)
}

type Edge = (place: number, length: number) => number

const clamped: Edge = (place, length) => Math.min(Math.max(place, 0), length - 1)

/** Where a place beyond an image's edge is read; each pattern is written with the image between bars. */
const edges: Readonly<Record<string, Edge>> = {
  /** kkkk|abcd|kkkk, k the fill value */
  constant: (place) => place,
  /** aaaa|abcd|dddd */
  nearest: clamped,
  /** dcba|abcd|dcba */
  reflect: (place, length) => {
    const period = 2 * length
    if (place >= 0) {
      const inside = place - period * Math.trunc(place / period)
      return clamped(inside >= length ? period - inside - 1 : inside, length)
    }
    const inside = place + period * Math.trunc(-place / period)
    return clamped(inside < -length ? inside + period : -inside - 1, length)
  },
  /** abcd|abcd|abcd; between two copies is the last pixel's place, hence the period of one less */
  wrap: (place, length) => {
    if (length <= 1) return 0
    if (place < 0) return clamped(place + length * (Math.trunc(-place / (length - 1)) + 1), length)
    return clamped(place > length - 1 ? place - length * Math.trunc(place / (length - 1)) : place, length)
  }
}

interface Transformation {
  readonly interpolation: string
  readonly fillMode: string
  readonly fillValue: number
  readonly outputShape?: readonly [number, number]
}

/** Output (x, y) comes from ((a·x + b·y + c) / k, (d·x + e·y + f) / k), k = g·x + h·y + 1, of the transform a … h. */
const transform: Kernel = (
  { image, transforms }: Record<"image" | "transforms", TensorInfo>,
  { fillMode, fillValue, interpolation, outputShape }: Transformation,
  scope
) => {
  const [batch, height, width, channels] = image.shape as unknown as ImageShape
  const [rows, columns] = outputShape ?? [height, width]
  const edge = edges[fillMode]
  if (edge === undefined)
    throw new Error(`Transform: fillMode "${fillMode}" is none of ${Object.keys(edges).join(", ")}`)
  const values = scope.values(transforms)
  const places = placesOf([batch, rows, columns], (place, y, x) => {
    const first = transforms.shape[0] === 1 ? 0 : 8 * place
    const line = (i: number) => values[first + i]! * x + values[first + i + 1]! * y
    const scale = line(6) + 1
    if (scale === 0) return undefined
    const [fromX, fromY] = [(line(0) + values[first + 2]!) / scale, (line(3) + values[first + 5]!) / scale]
    return [edge(fromY, height), edge(fromX, width)]
  })
  const shape = [batch, rows, columns, channels]
  return scope.out(reshape(warped(image, places, interpolation, [fillValue], scope), shape), image.dtype, shape)
}

export const warpKernels: Kernels = {
  CropAndResize: cropAndResize,
  RotateWithOffset: rotateWithOffset,
  Transform: transform
}
