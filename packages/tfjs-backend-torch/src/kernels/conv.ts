import { backend_util, type TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import { type Kernel, type Kernels, type KernelScope, sizeOf } from "../kernel.ts"
import { type Ending, withEnding } from "./activation.ts"
import { window2d, window3d, type Window } from "./window.ts"

// tfjs lays images out as [N, H, W, C] and filters as [H, W, I, O]. Permuted views of them are what ATen calls the
// channels-last format, so nothing is copied.

const [convolution, permute, reshape, pad] = [
  aten("convolution"),
  aten("permute"),
  aten("reshape"),
  aten("constant_pad_nd")
]
const [narrow, contiguous, newZeros] = [aten("narrow"), aten("contiguous"), aten("new_zeros")]
const [select, unsqueeze] = [aten("select.int"), aten("unsqueeze")]
const convolutionBackward = atenAll("convolution_backward")

/**
 * Moves `axis` to 1 where it is of length 1. Permuted, such an axis leaves open which layout is meant, and oneDNN (torch
 * 2.13) gives wrong numbers for the windows of one column that it takes for channels-last.
 */
const single = (x: Handle, axis: number): Handle => unsqueeze(select(x, axis, 0), 1)

/** One layout of images and filters, between tfjs's and ATen's. */
interface Layout {
  readonly window: Window
  readonly groups: number
  readonly inChannels: number
  readonly outChannels: number
  /** Windows along each spatial axis. */
  readonly outputs: ReadonlyArray<number>
  readonly image: (x: Handle, channels: number) => Handle
  readonly imageBack: (x: Handle) => Handle
  readonly filter: (x: Handle) => Handle
  readonly filterBack: (x: Handle) => Handle
}

const dense2d = (info: backend_util.Conv2DInfo): Layout => ({
  window: window2d(info),
  groups: 1,
  inChannels: info.inChannels,
  outChannels: info.outChannels,
  outputs: [info.outHeight, info.outWidth],
  ...imageViews2d(info.dataFormat),
  filter: (x) => (info.inChannels === 1 ? single(permute(x, [3, 2, 0, 1]), 1) : permute(x, [3, 2, 0, 1])),
  filterBack: (x) => permute(x, [2, 3, 1, 0])
})

const depthwise2d = (info: backend_util.Conv2DInfo): Layout => {
  const { filterHeight, filterWidth, inChannels, outChannels } = info
  const multiplier = outChannels / inChannels
  return {
    window: window2d(info),
    groups: inChannels,
    inChannels,
    outChannels,
    outputs: [info.outHeight, info.outWidth],
    ...imageViews2d(info.dataFormat),
    filter: (x) => single(reshape(permute(x, [2, 3, 0, 1]), [outChannels, 1, filterHeight, filterWidth]), 1),
    filterBack: (x) => permute(reshape(x, [inChannels, multiplier, filterHeight, filterWidth]), [2, 3, 0, 1])
  }
}

const imageViews2d = (format: string) => ({
  image: (x: Handle, channels: number) => {
    if (channels === 1) return single(x, format === "channelsLast" ? 3 : 1)
    return format === "channelsLast" ? permute(x, [0, 3, 1, 2]) : x
  },
  imageBack: (x: Handle) => (format === "channelsLast" ? permute(x, [0, 2, 3, 1]) : x)
})

const dense3d = (info: backend_util.Conv3DInfo): Layout => ({
  window: window3d(info),
  groups: 1,
  inChannels: info.inChannels,
  outChannels: info.outChannels,
  outputs: [info.outDepth, info.outHeight, info.outWidth],
  image: (x, channels) => (channels === 1 ? single(x, 4) : permute(x, [0, 4, 1, 2, 3])),
  imageBack: (x) => permute(x, [0, 2, 3, 4, 1]),
  filter: (x) => (info.inChannels === 1 ? single(permute(x, [4, 3, 0, 1, 2]), 1) : permute(x, [4, 3, 0, 1, 2])),
  filterBack: (x) => permute(x, [2, 3, 4, 1, 0])
})

const forward = (x: Handle, filter: Handle, layout: Layout): Handle => {
  const { filter: filterView, groups, inChannels, window } = layout
  const { dilations, paddings, strides } = window
  const image = layout.image(x, inChannels)
  const padded = paddings.every((padding) => padding === 0) ? image : pad(image, paddings, 0)
  const none = strides.map(() => 0)
  return convolution(padded, filterView(filter), null, strides, none, dilations, false, none, groups)
}

/** What tfjs's kernel gives; nothing where no window fits, which ATen refuses. */
const convolved = (x: Handle, filter: Handle, layout: Layout & { readonly shape: ReadonlyArray<number> }): Handle =>
  sizeOf(layout.shape) === 0 ? newZeros(x, layout.shape) : layout.imageBack(forward(x, filter, layout))

/** Gradients of the input and of the filter, in tfjs's layout; only the one asked for, in whose place zeros are given. */
const backward = (dy: Handle, x: Handle, filter: Handle, layout: Layout, mask: [boolean, boolean]): Handle => {
  if (layout.outputs.includes(0)) return mask[0] ? x : filter
  const { dilations, paddings, strides } = layout.window
  const padded = pad(layout.image(x, layout.inChannels), paddings, 0)
  const none = strides.map(() => 0)
  // More slopes than windows are left out, as tfjs does for transposed convolutions.
  const slopes = layout.outputs.reduce(
    (value, length, i) => narrow(value, i + 2, 0, length),
    layout.image(dy, layout.outChannels)
  )
  const operands = [slopes, padded, contiguous(layout.filter(filter))]
  const geometry = [null, strides, none, dilations, false, none, layout.groups]
  const gradients = convolutionBackward(...operands, ...geometry, [...mask, false])
  if (mask[1]) return layout.filterBack(gradients[1]!)
  return layout.imageBack(
    pad(
      gradients[0]!,
      paddings.map((padding) => -padding),
      0
    )
  )
}

interface Conv2DAttributes {
  readonly strides: [number, number] | number
  readonly pad: "valid" | "same" | number | Array<[number, number]>
  readonly dataFormat?: "NHWC" | "NCHW"
  readonly dilations?: [number, number] | number
  readonly dimRoundingMode?: "floor" | "round" | "ceil"
  readonly inputShape?: [number, number, number, number]
  readonly filterShape?: [number, number, number, number]
}

type Shape4 = [number, number, number, number]

const layout2d = (
  attrs: Conv2DAttributes,
  input: ReadonlyArray<number>,
  filter: ReadonlyArray<number>,
  depthwise: boolean
) => {
  const { dataFormat = "NHWC", dilations, dimRoundingMode, strides } = attrs
  const format = backend_util.convertConv2DDataFormat(dataFormat)
  const [shapes, rounding] = [[input as Shape4, filter as Shape4] as const, dimRoundingMode as "floor"]
  const info = backend_util.computeConv2DInfo(
    ...shapes,
    strides,
    dilations ?? 1,
    attrs.pad as "same",
    rounding,
    depthwise,
    format
  )
  return { shape: info.outShape, ...(depthwise ? depthwise2d(info) : dense2d(info)) }
}

interface ConvInputs {
  readonly x: TensorInfo
  readonly filter: TensorInfo
  readonly bias?: TensorInfo
  readonly preluActivationWeights?: TensorInfo
}

const conv2d =
  (depthwise: boolean): Kernel =>
  ({ filter, x }: ConvInputs, attrs: Conv2DAttributes, scope) => {
    const layout = layout2d(attrs, x.shape, filter.shape, depthwise)
    return scope.out(convolved(scope.wide(x), scope.wide(filter), layout), x.dtype, layout.shape)
  }

/** With NCHW images a bias or a slope of rank 1 belongs to the channels, which are not the last axis there. */
const perChannel = (
  tensor: TensorInfo | undefined,
  format: string | undefined,
  scope: KernelScope
): Handle | undefined => {
  if (tensor == null) return undefined
  const spread = format === "NCHW" && tensor.shape.length === 1
  return spread ? reshape(scope.wide(tensor), [tensor.shape[0]!, 1, 1]) : scope.wide(tensor)
}

const fusedConv2d =
  (depthwise: boolean): Kernel =>
  (inputs: ConvInputs, attrs: Conv2DAttributes & Ending, scope) => {
    const { filter, x } = inputs
    const layout = layout2d(attrs, x.shape, filter.shape, depthwise)
    const result = convolved(scope.wide(x), scope.wide(filter), layout)
    const bias = perChannel(inputs.bias, attrs.dataFormat, scope)
    const slopes = perChannel(inputs.preluActivationWeights, attrs.dataFormat, scope)
    return scope.out(withEnding(result, bias, slopes, attrs), x.dtype, layout.shape)
  }

const empty = (shape: ReadonlyArray<number>, like: Handle): Handle => newZeros(like, shape)

const conv2dInputGradient =
  (depthwise: boolean): Kernel =>
  ({ dy, filter }: Record<"dy" | "filter", TensorInfo>, attrs: Conv2DAttributes, scope) => {
    const layout = layout2d(attrs, attrs.inputShape!, filter.shape, depthwise)
    const slope = scope.wide(dy)
    const x = empty(attrs.inputShape!, slope)
    return scope.out(backward(slope, x, scope.wide(filter), layout, [true, false]), dy.dtype, attrs.inputShape!)
  }

const conv2dFilterGradient =
  (depthwise: boolean): Kernel =>
  ({ dy, x }: Record<"dy" | "x", TensorInfo>, attrs: Conv2DAttributes, scope) => {
    const layout = layout2d(attrs, x.shape, attrs.filterShape!, depthwise)
    const slope = scope.wide(dy)
    const filter = empty(attrs.filterShape!, slope)
    return scope.out(backward(slope, scope.wide(x), filter, layout, [false, true]), dy.dtype, attrs.filterShape!)
  }

interface Conv3DAttributes {
  readonly strides: [number, number, number] | number
  readonly pad: "valid" | "same"
  readonly dilations?: [number, number, number] | number
  readonly inputShape?: Array<number>
  readonly filterShape?: Array<number>
}

const layout3d = (
  { dilations, pad: padding, strides }: Conv3DAttributes,
  input: ReadonlyArray<number>,
  filter: ReadonlyArray<number>
) => {
  const info = backend_util.computeConv3DInfo(input as never, filter as never, strides, dilations ?? 1, padding)
  return { shape: info.outShape, ...dense3d(info) }
}

const conv3d: Kernel = ({ filter, x }: ConvInputs, attrs: Conv3DAttributes, scope) => {
  const layout = layout3d(attrs, x.shape, filter.shape)
  return scope.out(convolved(scope.wide(x), scope.wide(filter), layout), x.dtype, layout.shape)
}

const conv3dInputGradient: Kernel = (
  { dy, filter }: Record<"dy" | "filter", TensorInfo>,
  attrs: Conv3DAttributes,
  scope
) => {
  const slope = scope.wide(dy)
  const layout = layout3d(attrs, attrs.inputShape!, filter.shape)
  const x = empty(attrs.inputShape!, slope)
  return scope.out(backward(slope, x, scope.wide(filter), layout, [true, false]), dy.dtype, attrs.inputShape!)
}

const conv3dFilterGradient: Kernel = ({ dy, x }: Record<"dy" | "x", TensorInfo>, attrs: Conv3DAttributes, scope) => {
  const slope = scope.wide(dy)
  const layout = layout3d(attrs, x.shape, attrs.filterShape!)
  const filter = empty(attrs.filterShape!, slope)
  return scope.out(backward(slope, scope.wide(x), filter, layout, [false, true]), dy.dtype, attrs.filterShape!)
}

export const convKernels: Kernels = {
  Conv2D: conv2d(false),
  Conv2DBackpropFilter: conv2dFilterGradient(false),
  Conv2DBackpropInput: conv2dInputGradient(false),
  Conv3D: conv3d,
  Conv3DBackpropFilterV2: conv3dFilterGradient,
  Conv3DBackpropInputV2: conv3dInputGradient,
  DepthwiseConv2dNative: conv2d(true),
  DepthwiseConv2dNativeBackpropFilter: conv2dFilterGradient(true),
  DepthwiseConv2dNativeBackpropInput: conv2dInputGradient(true),
  FusedConv2D: fusedConv2d(false),
  FusedDepthwiseConv2D: fusedConv2d(true)
}
