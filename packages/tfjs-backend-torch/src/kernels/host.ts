import { hostKernel, type Kernels } from "../kernel.ts"

const names = [
  "Draw",
  "RaggedGather",
  "RaggedRange",
  "RaggedTensorToTensor",
  "SparseFillEmptyRows",
  "SparseReshape",
  "SparseSegmentMean",
  "SparseSegmentSum",
  "StaticRegexReplace",
  "StringNGrams",
  "StringSplit",
  "StringToHashBucketFast"
]

/** Strings, and the bookkeeping of sparse and ragged tensors: nothing that a device computes. */
export const hostKernels: Kernels = Object.fromEntries(names.map((name) => [name, hostKernel(name)]))
