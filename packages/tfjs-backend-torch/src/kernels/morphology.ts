import { backend_util, type TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, Kernels, KernelScope } from "../kernel.ts"
import { window2d, type Window } from "./window.ts"

// Dilation: each output is the largest of window + filter. One pass over the image for each place of the filter.

const [pad, slice, add, fmax, select, newZeros, newFull] = [
  aten("constant_pad_nd"),
  aten("slice.Tensor"),
  aten("add.Tensor"),
  aten("fmax"),
  aten("select.int"),
  aten("new_zeros"),
  aten("new_full")
]
const [gt, where, zerosLike, sum, stack, reshape] = [
  aten("gt.Tensor"),
  aten("where.self"),
  aten("zeros_like"),
  aten("sum.dim_IntList"),
  aten("stack"),
  aten("reshape")
]
const addInto = atenInPlace("add_.Tensor")

interface Attributes {
  readonly strides: [number, number] | number
  readonly pad: "valid" | "same" | number
  readonly dilations: [number, number] | number
}

type Inputs = Record<"x" | "filter", TensorInfo>

interface Geometry {
  readonly window: Window
  readonly shape: ReadonlyArray<number>
  /** [N, H, W, C] */
  readonly padded: Handle
  /** Rows and columns of the filter. */
  readonly taps: ReadonlyArray<readonly [row: number, column: number]>
  /** What each output sees at one place of the filter: a view of an image in the padded shape. */
  readonly seen: (image: Handle, tap: readonly [number, number]) => Handle
  /** [C] */
  readonly weights: (tap: readonly [number, number]) => Handle
}

/** Paddings as `constant_pad_nd` takes them for [N, H, W, C]: the channels' come first. */
const withChannels = ({ paddings }: Window): ReadonlyArray<number> => [0, 0, ...paddings]

const geometryOf = ({ filter, x }: Inputs, attrs: Attributes, scope: KernelScope): Geometry => {
  const shapes = [x.shape, filter.shape] as unknown as [[number, number, number, number], [number, number, number]]
  const info = backend_util.computeDilation2DInfo(
    ...shapes,
    attrs.strides,
    attrs.pad as "same",
    "NHWC",
    attrs.dilations
  )
  const window = window2d(info)
  const [[rows, columns], outputs] = [window.sizes as [number, number], [info.outHeight, info.outWidth]]
  const [image, weights] = [scope.of(x), scope.of(filter)]
  return {
    window,
    shape: info.outShape,
    padded: pad(image, withChannels(window), -Infinity),
    taps: Array.from({ length: rows * columns }, (_, i) => [Math.floor(i / columns), i % columns]),
    weights: ([row, column]) => select(select(weights, 0, row), 0, column),
    seen: (padded, tap) =>
      tap.reduce<Handle>((value, place, i) => {
        const [start, stride] = [place * window.dilations[i]!, window.strides[i]!]
        return slice(value, i + 1, start, start + (outputs[i]! - 1) * stride + 1, stride)
      }, padded)
  }
}

const sums = ({ padded, seen, taps, weights }: Geometry): ReadonlyArray<Handle> =>
  taps.map((tap) => add(seen(padded, tap), weights(tap)))

const dilation: Kernel = (inputs: Inputs, attrs: Attributes, scope) => {
  const geometry = geometryOf(inputs, attrs, scope)
  const largest = sums(geometry).reduce((most, value) => fmax(most, value))
  return scope.out(largest, inputs.x.dtype, geometry.shape)
}

/** For each place of the filter the slopes of the outputs that were largest there; the first of equals. */
const slopesByTap = (dy: Handle, geometry: Geometry): ReadonlyArray<Handle> => {
  const zeros = zerosLike(dy)
  const candidates = sums(geometry)
  const start = { most: newFull(candidates[0]!, geometry.shape, -Infinity), winner: newFull(dy, geometry.shape, -1) }
  const { winner } = candidates.reduce(({ most, winner }, value, tap) => {
    const better = gt(value, most)
    return { most: where(better, value, most), winner: where(better, newFull(dy, [], tap), winner) }
  }, start)
  return candidates.map((_, tap) => where(aten("eq.Scalar")(winner, tap), dy, zeros))
}

type Slopes = Inputs & { readonly dy: TensorInfo }

const inputGradient: Kernel = (inputs: Slopes, attrs: Attributes, scope) => {
  const geometry = geometryOf(inputs, attrs, scope)
  const { padded, seen, taps, window } = geometry
  const gradient = newZeros(padded, scope.backend.addon.shape(padded))
  slopesByTap(scope.of(inputs.dy), geometry).forEach((slopes, i) => addInto(seen(gradient, taps[i]!), slopes))
  const without = withChannels(window).map((padding) => -padding)
  return scope.out(pad(gradient, without, 0), inputs.x.dtype, inputs.x.shape)
}

const filterGradient: Kernel = (inputs: Slopes, attrs: Attributes, scope) => {
  const slopes = slopesByTap(scope.of(inputs.dy), geometryOf(inputs, attrs, scope))
  const perTap = slopes.map((value) => sum(value, [0, 1, 2]))
  return scope.out(reshape(stack(perTap, 0), inputs.filter.shape), inputs.filter.dtype, inputs.filter.shape)
}

export const morphologyKernels: Kernels = {
  Dilation2D: dilation,
  Dilation2DBackpropFilter: filterGradient,
  Dilation2DBackpropInput: inputGradient
}
