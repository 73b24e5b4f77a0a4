const STRINGS = "strings stay on the host, where libtorch has nothing for them"
const RAGGED = "index bookkeeping of ragged and sparse tensors, a loop on the host in every backend"
const IMAGES = "image codecs and canvases are not a numeric backend's"
const AUGMENTATION = "image augmentation and morphology, for which ATen has no operator"

/** The kernels of tfjs-core that this backend does not have, each with its reason. */
export const missingKernels: Readonly<Record<string, string>> = {
  CropAndResize: AUGMENTATION,
  Dilation2D: AUGMENTATION,
  Dilation2DBackpropFilter: AUGMENTATION,
  Dilation2DBackpropInput: AUGMENTATION,
  Draw: IMAGES,
  FromPixels: IMAGES,
  RaggedGather: RAGGED,
  RaggedRange: RAGGED,
  RaggedTensorToTensor: RAGGED,
  RotateWithOffset: AUGMENTATION,
  SparseFillEmptyRows: RAGGED,
  SparseReshape: RAGGED,
  SparseSegmentMean: RAGGED,
  SparseSegmentSum: RAGGED,
  StaticRegexReplace: STRINGS,
  StringNGrams: STRINGS,
  StringSplit: STRINGS,
  StringToHashBucketFast: STRINGS,
  Transform: AUGMENTATION
}

/** Why shape and index kernels refuse tensors of strings. */
export const stringsReason = STRINGS
