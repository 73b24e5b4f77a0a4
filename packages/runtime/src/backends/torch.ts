import type * as Torch from "@plumbline/tfjs-backend-torch"
import {
  ADAMW_ALL,
  ADD_BIAS,
  ADD_EMBEDDING_GRADIENT,
  ADD_PRODUCT,
  ADD_RMS_NORM,
  ADD_RMS_NORM_GRADIENT,
  ATTENTION,
  ATTENTION_GRADIENT,
  CACHE_HEADS,
  CHOOSE_EXPERTS,
  CHOOSE_EXPERTS_GRADIENT,
  COLLECT_ROWS,
  COLLECT_ROWS_GRADIENT,
  DECODE_ATTENTION,
  DEQUANTIZE_NF4,
  DISPATCH_ROWS,
  EMBEDDING,
  EMBEDDING_GRADIENT,
  EXPERT_ORDER,
  GATED_ACTIVATION,
  GATED_ACTIVATION_GRADIENT,
  GATED_MLP,
  GATED_MLP_GRADIENT,
  GLOBAL_NORM,
  AWAIT_GATHERS,
  GATHER_PARTS,
  JOIN_PARTS,
  RELEASE_VALUES,
  WITHOUT_VALUES,
  LAYER_NORM,
  LAYER_NORM_GRADIENT,
  LINEAR,
  GROUPED_LINEARS,
  GROUPED_LINEARS_INPUT_GRADIENT,
  GROUPED_LINEARS_WEIGHT_GRADIENTS,
  LINEARS,
  LINEARS_INPUT_GRADIENT,
  LINEARS_WEIGHT_GRADIENTS,
  LOOK_UP,
  NARROW,
  OWN_PART,
  RMS_NORM,
  RMS_NORM_GRADIENT,
  PAGED_ATTENTION,
  QUANTIZE_NF4,
  ROTARY,
  ROTARY_ATTENTION,
  ROTARY_ATTENTION_GRADIENT,
  ROTARY_HEADS,
  SAMPLE_TOKENS,
  SCALE_ROWS,
  SQUARED_RELU,
  SQUARED_RELU_GRADIENT,
  SUM_OVER_PROCESSES,
  SETTLE_SUMS,
  SUM_PART,
  TAKE_ROWS,
  TOKEN_LOG_PROBS,
  TOKEN_LOG_PROBS_WEIGHT_GRADIENT,
  TOP_LOG_PROBS,
  UPDATE_ROWS,
  WRITE_VALUES
} from "../kernels/names.ts"
import {
  BatchInvarianceUnavailable,
  ShardingUnsupported,
  type DeviceFailure,
  DeviceLost,
  OutOfMemory,
  ProcessLost
} from "../device-failure.ts"
import type { BatchInvariance } from "../batch-invariant.ts"
import { shortenKernelCalls } from "../kernel-calls.ts"
import { tf } from "../tf.ts"

/** A process computes on one of them. */
export type TorchPlace = "cpu" | "cuda"

/** How activations and the weights that products read are stored. Masters, moments, losses and norms are float32. */
export type TorchPrecision = "float32" | "bfloat16"

export interface TorchSettings {
  readonly device: TorchPlace
  /** Which of the machine's CUDA devices; the first when absent. */
  readonly deviceIndex?: number | undefined
  /** float32 when absent */
  readonly precision?: TorchPrecision | undefined
  /**
   * Whether a token's products and attention have the same bits whatever is computed beside it, so that what a sampler says of
   * it is what a trainer says. On CUDA in bfloat16; "auto" leaves it to the work (`batchInvariantFor`); false when absent.
   *
   * @see He et al. 2025, https://thinkingmachines.ai/blog/defeating-nondeterminism-in-llm-inference
   */
  readonly batchInvariant?: boolean | "auto" | undefined
  /** Whether a run on CUDA gives the same bits each time; false when absent. On the CPU it does anyway. */
  readonly deterministic?: boolean | undefined
}

const namedKernels = ({ fusedKernels }: typeof Torch): Readonly<Record<string, Torch.Kernel>> => ({
  [LINEAR]: fusedKernels.linear,
  [LINEARS]: fusedKernels.linears,
  [GROUPED_LINEARS]: fusedKernels.groupedLinears,
  [GROUPED_LINEARS_INPUT_GRADIENT]: fusedKernels.groupedLinearsInputGradient,
  [GROUPED_LINEARS_WEIGHT_GRADIENTS]: fusedKernels.groupedLinearsWeightGradients,
  [ADD_BIAS]: fusedKernels.addBias,
  [ADD_PRODUCT]: fusedKernels.addProduct,
  [LINEARS_INPUT_GRADIENT]: fusedKernels.linearsInputGradient,
  [LINEARS_WEIGHT_GRADIENTS]: fusedKernels.linearsWeightGradients,
  [ATTENTION]: fusedKernels.attention,
  [ATTENTION_GRADIENT]: fusedKernels.attentionGradient,
  [PAGED_ATTENTION]: fusedKernels.pagedAttention,
  [EMBEDDING]: fusedKernels.embedding,
  [EMBEDDING_GRADIENT]: fusedKernels.embeddingGradient,
  [ADD_EMBEDDING_GRADIENT]: fusedKernels.addEmbeddingGradient,
  [TAKE_ROWS]: fusedKernels.takeRows,
  [RMS_NORM]: fusedKernels.rmsNorm,
  [RMS_NORM_GRADIENT]: fusedKernels.rmsNormGradient,
  [ADD_RMS_NORM]: fusedKernels.addRmsNorm,
  [ADD_RMS_NORM_GRADIENT]: fusedKernels.addRmsNormGradient,
  [LAYER_NORM]: fusedKernels.layerNorm,
  [LAYER_NORM_GRADIENT]: fusedKernels.layerNormGradient,
  [ROTARY]: fusedKernels.rotary,
  [ROTARY_ATTENTION]: fusedKernels.rotaryAttention,
  [ROTARY_ATTENTION_GRADIENT]: fusedKernels.rotaryAttentionGradient,
  [ROTARY_HEADS]: fusedKernels.rotaryHeads,
  [GATED_ACTIVATION]: fusedKernels.gatedActivation,
  [GATED_ACTIVATION_GRADIENT]: fusedKernels.gatedActivationGradient,
  [GATED_MLP]: fusedKernels.gatedMlp,
  [GATED_MLP_GRADIENT]: fusedKernels.gatedMlpGradient,
  [SQUARED_RELU]: fusedKernels.squaredRelu,
  [SQUARED_RELU_GRADIENT]: fusedKernels.squaredReluGradient,
  [TOKEN_LOG_PROBS]: fusedKernels.tokenLogProbs,
  [TOKEN_LOG_PROBS_WEIGHT_GRADIENT]: fusedKernels.tokenLogProbsWeightGradient,
  [TOP_LOG_PROBS]: fusedKernels.topLogProbs,
  [QUANTIZE_NF4]: fusedKernels.quantizeNf4,
  [DEQUANTIZE_NF4]: fusedKernels.dequantizeNf4,
  [NARROW]: fusedKernels.narrow,
  [SAMPLE_TOKENS]: fusedKernels.sampleTokens,
  [SCALE_ROWS]: fusedKernels.scaleRows,
  [UPDATE_ROWS]: fusedKernels.updateRows,
  [WRITE_VALUES]: fusedKernels.writeValues,
  [GLOBAL_NORM]: fusedKernels.globalNorm,
  [ADAMW_ALL]: fusedKernels.adamw,
  [SUM_OVER_PROCESSES]: fusedKernels.sumOverProcesses,
  [SUM_PART]: fusedKernels.sumPart,
  [SETTLE_SUMS]: fusedKernels.settleSums,
  [OWN_PART]: fusedKernels.ownPart,
  [JOIN_PARTS]: fusedKernels.joinParts,
  [GATHER_PARTS]: fusedKernels.gatherParts,
  [AWAIT_GATHERS]: fusedKernels.awaitGathers,
  [WITHOUT_VALUES]: fusedKernels.withoutValues,
  [RELEASE_VALUES]: fusedKernels.releaseValues,
  [CACHE_HEADS]: fusedKernels.cacheHeads,
  [DECODE_ATTENTION]: fusedKernels.decodeAttention,
  [LOOK_UP]: fusedKernels.lookUp,
  BatchMatMul: fusedKernels.batchMatMul
})

/** Kernels that bring tokens to their experts without the host, where products do not need it either. */
const routingKernels = ({ fusedKernels }: typeof Torch): Readonly<Record<string, Torch.Kernel>> => ({
  [CHOOSE_EXPERTS]: fusedKernels.chooseExperts,
  [CHOOSE_EXPERTS_GRADIENT]: fusedKernels.chooseExpertsGradient,
  [EXPERT_ORDER]: fusedKernels.expertOrder,
  [DISPATCH_ROWS]: fusedKernels.dispatchRows,
  [COLLECT_ROWS]: fusedKernels.collectRows,
  [COLLECT_ROWS_GRADIENT]: fusedKernels.collectRowsGradient
})

export const torchBackend = (): Torch.TorchBackend => tf.engine().findBackend("torch") as unknown as Torch.TorchBackend

/** Loads the backend, which nothing else does, and gives it our kernels. */
export const registerTorch = async ({
  batchInvariant = false,
  deterministic = false,
  device,
  deviceIndex = 0,
  precision = "float32"
}: TorchSettings): Promise<void> => {
  const torch = await import("@plumbline/tfjs-backend-torch")
  const place = device === "cpu" ? device : (`cuda:${deviceIndex}` as const)
  torch.registerTorchBackend({
    device: place,
    storage: precision,
    batchInvariant: batchInvariant === true,
    deterministic
  })
  shortenKernelCalls("torch")
  for (const [name, kernel] of Object.entries(namedKernels(torch))) torch.registerTorchKernel(name, kernel)
  for (const [name, kernel] of Object.entries(routingKernels(torch))) {
    // another backend of this process may have had them
    if (torch.groupsOnDevice(torchBackend())) torch.registerTorchKernel(name, kernel)
    else torch.unregisterTorchKernel(name)
  }
}

/** Where it was left to the work, on a device that may have such kernels. */
export const batchInvariance = ({ batchInvariant, device, precision }: TorchSettings): BatchInvariance | undefined =>
  batchInvariant === "auto" && device === "cuda" && precision === "bfloat16" ? { turn: turnInvariant } : undefined

const turnInvariant: BatchInvariance["turn"] = (on) => {
  try {
    torchBackend().isBatchInvariant = on
    return undefined
  } catch (cause) {
    if (cause instanceof Error && cause.name === "TorchUnavailable") return cause.message
    throw cause
  }
}

/** "libtorch 2.13.0 on the CPU, 2 threads, float32" */
export const describeTorch = (): string => {
  const { addon, cuda, isBatchInvariant, isDeterministic, storage } = torchBackend()
  const place = cuda === undefined ? `the CPU, ${addon.threads()} threads` : cuda.name
  const kernels = [
    ...(isBatchInvariant ? ["batch-invariant"] : []),
    ...(isDeterministic && cuda !== undefined ? ["deterministic"] : [])
  ]
  return [`libtorch ${addon.torchVersion} on ${place}`, storage, ...kernels].join(", ")
}

/** On a device, calls return before their work is done. */
export const torchCalls = () => {
  const { addon, cuda } = torchBackend()
  return { ...addon.callStatistics(), queued: cuda !== undefined }
}

/** By libtorch's allocators: on CUDA the caching one, whose reserve is what the device has given it. */
export const torchMemory = () => {
  const { addon, cuda } = torchBackend()
  const onDevice = cuda?.addon.cudaMemory()
  const { allocated, peakAllocated } = onDevice ?? addon.hostMemory()
  return {
    handles: addon.handleStatistics().handles,
    allocatedBytes: allocated,
    reservedBytes: onDevice?.reserved,
    availableBytes: onDevice && onDevice.free + onDevice.reserved - onDevice.allocated,
    peakBytes: peakAllocated
  }
}

/** Faults of the memory or the device; what an operator refuses otherwise is a mistake of its caller. */
export const torchFailure = (cause: unknown): DeviceFailure | undefined => {
  if (cause instanceof Error && cause.name === "BatchInvarianceUnavailable")
    return new BatchInvarianceUnavailable({ reason: cause.message })
  if (cause instanceof ShardingUnsupported) return cause
  if (!isTorchError(cause)) return undefined
  const { bytesAsked, bytesFree, kind, message, operator, shapes } = cause
  if (kind === "out-of-memory") return new OutOfMemory({ operator, shapes, bytesAsked, bytesFree })
  const reason = message.replace(`${operator}: `, "")
  if (kind === "peer") return new ProcessLost({ reason })
  return kind === "device" ? new DeviceLost({ operator, reason }) : undefined
}

// asked of every error, also where the backend's package was never loaded
const isTorchError = (cause: unknown): cause is Torch.TorchError =>
  cause instanceof Error && cause.name === "TorchError"
