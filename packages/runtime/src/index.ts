export { tf } from "./tf.ts"
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
} from "./tf.ts"
export { type BatchInvariance, batchInvariantFor } from "./batch-invariant.ts"
export { computing } from "./computing.ts"
export {
  BatchInvarianceUnavailable,
  type DeviceFailure,
  DeviceLost,
  OutOfMemory,
  ProcessLost,
  ShardingUnsupported
} from "./device-failure.ts"
export {
  BackendUnavailable,
  type MemoryReport,
  ModelRuntime,
  type ModelRuntimeShape,
  type NativeCalls
} from "./model-runtime.ts"
export { InvalidSeed, philoxStream, type RandomStream } from "./random.ts"
export { gatedActivation, type GateFunction, squaredRelu } from "./ops/activation.ts"
export { attention, type AttentionOptions, rotaryAttention, type RowSpans } from "./ops/attention.ts"
export { detached, isDifferentiating } from "./ops/detached.ts"
export { embedding, gatherRows } from "./ops/embedding.ts"
export { gatherSlots } from "./ops/gather-slots.ts"
export {
  chooseExperts,
  collectRows,
  dispatchRows,
  type ExpertChoice,
  expertRows,
  type HostExpertRows,
  hostExpertRows,
  routesOnDevice,
  sharesOfAll
} from "./ops/expert-rows.ts"
export { fusesGatedMlp, gatedMlp, type GatedMlpWeights } from "./ops/gated-mlp.ts"
export { groupedLinears, type RowGroups, splitRows } from "./ops/grouped-linears.ts"
export { linear, linears } from "./ops/linear.ts"
export { logCollision } from "./ops/log-collision.ts"
export { dequantised, nf4Linear, type Nf4Matrix, quantised } from "./ops/nf4.ts"
export { nf4Bytes, type Nf4Values, packNf4, unpackNf4 } from "./ops/nf4-values.ts"
export { takeGradients, type TakeGradient } from "./backward-pass.ts"
export { narrowed } from "./ops/narrowed.ts"
export { addRmsNorm, layerNorm, rmsNorm } from "./ops/norms.ts"
export { type AdamwItem, type AdamwStep, adamwUpdate, type GradientScale, normOf, normParts } from "./ops/optimizer.ts"
export {
  pagedAttention,
  type PagedAttentionOptions,
  type PagedRows,
  pagedRows,
  type PagedSpans
} from "./ops/paged-attention.ts"
export {
  awaitGathers,
  gatherParts,
  joinParts,
  ownPart,
  releaseValues,
  settleSums,
  sumOverProcesses,
  sumPart,
  withoutValues
} from "./ops/processes.ts"
export { beforeBackward } from "./ops/before-backward.ts"
export {
  alone,
  joinProcesses,
  type Meeting,
  Processes,
  type ProcessesShape,
  type Sharding,
  whileTogether
} from "./processes.ts"
export { recomputed } from "./ops/recomputed.ts"
export { addedGradient } from "./ops/added-gradient.ts"
export { addByRow, addRowsById } from "./ops/add-by-row.ts"
export { addProduct } from "./ops/add-product.ts"
export {
  DRAW_WIDTH,
  type LogitEdits,
  type SampledTokens,
  sampleTokens,
  type SamplingRows,
  type TokenLists
} from "./ops/sample-tokens.ts"
export { canRankLogits, type RankedRows, topLogProbs, type TopLogProbs } from "./ops/top-log-probs.ts"
export {
  cacheHeads,
  type CacheLayer,
  canRecordSteps,
  decodeAttention,
  type DecodeOptions,
  lookUp,
  type NewTokens
} from "./ops/recorded-step.ts"
export { computesOnItsOwn, type HostNumbers, readLater } from "./ops/read-later.ts"
export { canRecord, type DeviceValues, type Replayed, replayed, timesMoved } from "./ops/recording.ts"
export { reshape } from "./kernels/plain-ops.ts"
export { type Heads, rotary, type RotaryAngles, rotaryAngles, rotaryHeads } from "./ops/rotary.ts"
export { tokenEntropies } from "./ops/token-entropies.ts"
export { tokenLogProbs, type TokenLogProbs, type TokenLogProbsOptions } from "./ops/token-log-probs.ts"
export { updateRows } from "./ops/update-rows.ts"
export { writeValues } from "./ops/write-values.ts"
