const STRINGS = "strings stay on the host, where libtorch has nothing for them"
const RAGGED = "index bookkeeping of ragged and sparse tensors, a loop on the host in every backend"
const IMAGES = "image codecs and canvases are not a numeric backend's"

/** The kernels of tfjs-core that this backend does not have, each with its reason. */
export const missingKernels: Readonly<Record<string, string>> = {
  Draw: IMAGES,
  FromPixels: IMAGES,
  RaggedGather: RAGGED,
  RaggedRange: RAGGED,
  RaggedTensorToTensor: RAGGED,
  SparseFillEmptyRows: RAGGED,
  SparseReshape: RAGGED,
  SparseSegmentMean: RAGGED,
  SparseSegmentSum: RAGGED,
  StaticRegexReplace: STRINGS,
  StringNGrams: STRINGS,
  StringSplit: STRINGS,
  StringToHashBucketFast: STRINGS
}

/** Why shape and index kernels refuse tensors of strings. */
export const stringsReason = STRINGS
