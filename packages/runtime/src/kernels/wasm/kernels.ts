import { wasmBackend } from "../../backends/wasm.ts"
import { tf } from "../../tf.ts"
import type { Kernel } from "../host-memory.ts"
import {
  ADAMW,
  ATTENTION,
  ATTENTION_GRADIENT,
  EMBEDDING,
  EMBEDDING_GRADIENT,
  GATED_ACTIVATION,
  GATED_ACTIVATION_GRADIENT,
  LAYER_NORM,
  LAYER_NORM_GRADIENT,
  LINEAR,
  RMS_NORM,
  RMS_NORM_GRADIENT,
  PAGED_ATTENTION,
  ROTARY,
  SCALE_ROWS,
  SQUARED_RELU,
  SQUARED_RELU_GRADIENT,
  TENSOR_NORM,
  TOKEN_LOG_PROBS,
  TOKEN_LOG_PROBS_WEIGHT_GRADIENT
} from "../names.ts"
import { attention, attentionGradient } from "./attention.ts"
import {
  gatedActivation,
  gatedActivationGradient,
  layerNorm,
  layerNormGradient,
  rmsNorm,
  rmsNormGradient,
  rotary,
  squaredRelu,
  squaredReluGradient
} from "./elementwise.ts"
import { batchMatMul, linear } from "./matmul.ts"
import type { NativeMemory } from "./native.ts"
import { adamw, tensorNorm } from "./optimizer.ts"
import { pagedAttention } from "./paged-attention.ts"
import { embedding, embeddingGradient, identity, scaleRows, transpose } from "./rows.ts"
import { tokenLogProbs, tokenLogProbsWeightGradient } from "./token-log-probs.ts"

/** A kernel of tfjs-backend-wasm itself. */
const original = (name: string): Kernel<NativeMemory> => {
  const { kernelFunc } = tf.getKernel(name, "wasm")
  return (inputs, attrs) => kernelFunc({ inputs: inputs as never, attrs, backend: wasmBackend() }) as never
}

/** Kernels for the wasm backend over the native functions; some stand in for slower ones of tfjs. */
export const wasmKernels = (): Readonly<Record<string, Kernel<NativeMemory>>> => ({
  [LINEAR]: linear,
  [ATTENTION]: attention,
  [ATTENTION_GRADIENT]: attentionGradient,
  [PAGED_ATTENTION]: pagedAttention,
  [EMBEDDING]: embedding,
  [EMBEDDING_GRADIENT]: embeddingGradient,
  [RMS_NORM]: rmsNorm,
  [RMS_NORM_GRADIENT]: rmsNormGradient,
  [LAYER_NORM]: layerNorm,
  [LAYER_NORM_GRADIENT]: layerNormGradient,
  [ROTARY]: rotary,
  [GATED_ACTIVATION]: gatedActivation,
  [GATED_ACTIVATION_GRADIENT]: gatedActivationGradient,
  [SQUARED_RELU]: squaredRelu,
  [SQUARED_RELU_GRADIENT]: squaredReluGradient,
  [TOKEN_LOG_PROBS]: tokenLogProbs,
  [TOKEN_LOG_PROBS_WEIGHT_GRADIENT]: tokenLogProbsWeightGradient,
  [SCALE_ROWS]: scaleRows,
  [TENSOR_NORM]: tensorNorm,
  [ADAMW]: adamw,
  BatchMatMul: batchMatMul,
  Identity: identity,
  Transpose: transpose(original("Transpose"))
})
