/**
 * TensorFlow.js with its gradients registered. The runtime is the only importer of `@tensorflow/*`:
 * the engine and its kernel and gradient registries are process-wide, so there must be one copy.
 */
export * as tf from "@tensorflow/tfjs"

export type {
  DataType,
  NamedTensorMap,
  Scalar,
  Tensor,
  Tensor1D,
  Tensor2D,
  Tensor3D,
  Tensor4D,
  Variable
} from "@tensorflow/tfjs"
