import type { backend_util } from "@tensorflow/tfjs-core"

/** A sliding window in ATen's terms, spatial axes in order. */
export interface Window {
  readonly sizes: ReadonlyArray<number>
  readonly strides: ReadonlyArray<number>
  readonly dilations: ReadonlyArray<number>
  /** As constant_pad_nd wants them: last axis first, before and after; negative where the input's end is never read. */
  readonly paddings: ReadonlyArray<number>
}

/** The padding behind the input that makes exactly `outputs` windows fit, which tfjs's roundings of sizes imply. */
const behind = (input: number, outputs: number, stride: number, effective: number, before: number): number =>
  (outputs - 1) * stride + effective - input - before

export const window2d = (info: backend_util.Conv2DInfo): Window => {
  const { effectiveFilterHeight, effectiveFilterWidth, inHeight, inWidth, outHeight, outWidth, padInfo } = info
  const bottom = behind(inHeight, outHeight, info.strideHeight, effectiveFilterHeight, padInfo.top)
  const right = behind(inWidth, outWidth, info.strideWidth, effectiveFilterWidth, padInfo.left)
  return {
    sizes: [info.filterHeight, info.filterWidth],
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    paddings: [padInfo.left, right, padInfo.top, bottom]
  }
}

export const window3d = (info: backend_util.Conv3DInfo): Window => {
  const { inDepth, inHeight, inWidth, outDepth, outHeight, outWidth, padInfo } = info
  const back = behind(inDepth, outDepth, info.strideDepth, info.effectiveFilterDepth, padInfo.front)
  const bottom = behind(inHeight, outHeight, info.strideHeight, info.effectiveFilterHeight, padInfo.top)
  const right = behind(inWidth, outWidth, info.strideWidth, info.effectiveFilterWidth, padInfo.left)
  return {
    sizes: [info.filterDepth, info.filterHeight, info.filterWidth],
    strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth],
    paddings: [padInfo.left, right, padInfo.top, bottom, padInfo.front, back]
  }
}
