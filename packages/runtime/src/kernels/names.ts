import { kernelOf } from "../kernel-registry.ts"
import { tf, type NamedTensorMap, type Tensor } from "../tf.ts"

// Kernels of our own. A backend that registers one is used; without it the op runs composed of tfjs ops. A backend that
// registers a kernel listed with a gradient kernel registers that one too: ./gradients.ts calls it.

/** {x, weight} → x·Wᵀ. Its gradient is two products of tf.matMul. */
export const LINEAR = "PlumblineLinear"
/** [x, weight, weight, …] → [x·Wᵀ, x·Wᵀ, …] */
export const LINEARS = "PlumblineLinears"
/** {x [N, O], bias [O]} → x + bias as x is stored, in its memory where that is its own */
export const ADD_BIAS = "PlumblineAddBias"
/** {sum, x, weight}, {scale} → sum + scale·x·Wᵀ, in the sum's memory where that is its own */
export const ADD_PRODUCT = "PlumblineAddProduct"
/** [dy, dy, …, weight, weight, …] → dx, the sum of all dy·W; a sum at the end is added, in place where it is unshared */
export const LINEARS_INPUT_GRADIENT = "PlumblineLinearsInputGradient"
/** [dy, dy, …, x] → [dweight, dweight, …] */
export const LINEARS_WEIGHT_GRADIENTS = "PlumblineLinearsWeightGradients"
/**
 * [x, weight, …], {counts [G]}, P weights a group: the rows of G groups, one group after another → P outputs, x_g·W_gpᵀ below
 * each other. On the device, where EXPERT_ORDER is, also [x, ends [G] int32, weight, …], {groups: G}.
 */
export const GROUPED_LINEARS = "PlumblineGroupedLinears"
/** [dy × P, weight, …], {counts}, or [ends, dy × P, weight, …], {groups} → dx, the rows of each group by its own weights */
export const GROUPED_LINEARS_INPUT_GRADIENT = "PlumblineGroupedLinearsInputGradient"
/** [dy × P, x], {counts}, or [ends, dy × P, x], {groups} → [dweight, …], 0 for a group without rows */
export const GROUPED_LINEARS_WEIGHT_GRADIENTS = "PlumblineGroupedLinearsWeightGradients"
/**
 * {probabilities [N, E]}, {perToken: k, renormalised} → [experts [N, k] int32, ascending, shares [N, k]]. A backend has it and
 * the kernels of rows below, or none of them.
 */
export const CHOOSE_EXPERTS = "PlumblineChooseExperts"
/** {probabilities, chosen, shares, dy [N, k]}, {renormalised} → [N, E] */
export const CHOOSE_EXPERTS_GRADIENT = "PlumblineChooseExpertsGradient"
/** {chosen [N, k] int32}, {experts: E} → int32 [order [N·k], places [N·k], ends [E]], see `ExpertRows` */
export const EXPERT_ORDER = "PlumblineExpertOrder"
/** {x [N, D], order, places}, {perToken} → [N·k, D]: row order[i] / k of x at i */
export const DISPATCH_ROWS = "PlumblineDispatchRows"
/** {y [N·k, D], places and perhaps shares [N, k] and order}, {perToken} → [N, D]: the sum of a token's rows, each times its share */
export const COLLECT_ROWS = "PlumblineCollectRows"
/** {y, shares, order, dy [N, D]}, {perToken} → [[N·k, D], [N, k]] */
export const COLLECT_ROWS_GRADIENT = "PlumblineCollectRowsGradient"
/** {q, k, v} → [out, log of each query's normalizer [N, H]]; attrs are AttentionOptions. */
export const ATTENTION = "PlumblineAttention"
/** {q, k, v, out, logNormalizer, dy} → [dq, dk, dv] */
export const ATTENTION_GRADIENT = "PlumblineAttentionGradient"
/** {q, k, v, cos, sin} → [out, log-normalizers, turned q, turned k]: `ROTARY_HEADS`, then `ATTENTION`. */
export const ROTARY_ATTENTION = "PlumblineRotaryAttention"
/** {turned q, turned k, v, cos, sin, out, logNormalizer, dy} → [dq, dk, dv] of q and k as they were */
export const ROTARY_ATTENTION_GRADIENT = "PlumblineRotaryAttentionGradient"
/**
 * {q, keys, values, table [R, W] int32, spans [3, R] int32: first query, queries, keys of each row} → out; attrs are
 * PagedAttentionOptions, with the same numbers as host data.
 */
export const PAGED_ATTENTION = "PlumblinePagedAttention"
/**
 * {logits [N, V], draws [N, 5]: uniform, temperature, top-k, top-p, min-p} and, where there are any, {editStarts [N + 1],
 * editIds [E], edits [E, 2]: penalty, addend} and {allowedStarts [N + 1], allowedIds [A]} → [ids int32, sampling log-probs,
 * policy log-probs], [N] each. What `sampleRow` does, row by row.
 */
export const SAMPLE_TOKENS = "PlumblineSampleTokens"
/** {logits [N, V]}, RankedRows → [ids int32 [M, K], log-probs [M, K], log-probs of targets [M]]. What `topRow` does, row by row. */
export const TOP_LOG_PROBS = "PlumblineTopLogProbs"
/** {weight, ids} → rows; with the ids on the device */
export const LOOK_UP = "PlumblineLookUp"
/** {q, k, v, cos, sin, positions, slots, keys, values} → q rotated; rotated keys and the values are written to their slots */
export const CACHE_HEADS = "PlumblineCacheHeads"
/** {q, keys, values, table, spans}, {pageSize, scale, window, softCap} → attention of rows with one query each */
export const DECODE_ATTENTION = "PlumblineDecodeAttention"
/** {weight}, {ids} → rows */
export const EMBEDDING = "PlumblineEmbedding"
/** {x}, {ids} → rows of x as they are stored: the gradient of sums of rows */
export const TAKE_ROWS = "PlumblineTakeRows"
/** {dy}, {ids, rows} → [rows, D], rows of equal ids added up in order */
export const EMBEDDING_GRADIENT = "PlumblineEmbeddingGradient"
/** {sum [rows, D], dy}, {ids} → sum + those rows, in the sum's memory where that is its own */
export const ADD_EMBEDDING_GRADIENT = "PlumblineAddEmbeddingGradient"
/** {x, weight}, {epsilon} → y */
export const RMS_NORM = "PlumblineRmsNorm"
/** {x, weight, dy}, {epsilon, withWeight} → [dx, dweight], the latter where it is asked for */
export const RMS_NORM_GRADIENT = "PlumblineRmsNormGradient"
/** {x, addend, weight}, {epsilon} → [x + addend, its norm] */
export const ADD_RMS_NORM = "PlumblineAddRmsNorm"
/** {sum, weight, dsum, dy}, {epsilon, withWeight} → [dx, dweight], likewise; dx is the gradient of either summand */
export const ADD_RMS_NORM_GRADIENT = "PlumblineAddRmsNormGradient"
/** {x, weight, bias}, {epsilon} → y */
export const LAYER_NORM = "PlumblineLayerNorm"
/** {x, weight, dy}, {epsilon, withWeight} → [dx, dweight, dbias], likewise */
export const LAYER_NORM_GRADIENT = "PlumblineLayerNormGradient"
/** {x, cos, sin}, {inverse} → rotated; the inverse rotation is the gradient */
export const ROTARY = "PlumblineRotary"
/** {q, k, v, cos, sin}, {inverse} → [q rotated, k rotated, v]; the inverse rotation is the gradient */
export const ROTARY_HEADS = "PlumblineRotaryHeads"
/** {gate, up}, {activation} → act(gate)·up */
export const GATED_ACTIVATION = "PlumblineGatedActivation"
/** {gate, up, dy}, {activation} → [dgate, dup] */
export const GATED_ACTIVATION_GRADIENT = "PlumblineGatedActivationGradient"
/**
 * {x [N, D], gate, up [F, D], down [D, F]}, {activation, withSlopes} → [down·(act(gate·x)·(up·x))] and, withSlopes, [N, 2F] what
 * the gradient multiplies by and [N, F] what `down` read. For calls that `fusesGatedMlp` alone.
 */
export const GATED_MLP = "PlumblineGatedMlp"
/** {dy [N, D], down, slopes} → [dgate, dup] [N, F] */
export const GATED_MLP_GRADIENT = "PlumblineGatedMlpGradient"
/** {x} → relu(x)² */
export const SQUARED_RELU = "PlumblineSquaredRelu"
/** {x, dy} → dx */
export const SQUARED_RELU_GRADIENT = "PlumblineSquaredReluGradient"
/**
 * {hidden, weight}, {targets, temperature, softCap, withSlopes} → [log-probs, entropy, correct, log of the normalizer]
 * and, withSlopes, [M, D]: the gradient of each log-prob with respect to its hidden state.
 */
export const TOKEN_LOG_PROBS = "PlumblineTokenLogProbs"
/** {hidden, weight, logNormalizer, dy}, {targets, temperature, softCap} → dweight */
export const TOKEN_LOG_PROBS_WEIGHT_GRADIENT = "PlumblineTokenLogProbsWeightGradient"
/** {x}, {borders} → [codes, scales, outer, mean]: a matrix in 4 bits, see `packNf4` */
export const QUANTIZE_NF4 = "PlumblineQuantizeNf4"
/** {codes, scales, outer}, {shape, mean, levels} → the matrix that 4-bit codes stand for */
export const DEQUANTIZE_NF4 = "PlumblineDequantizeNf4"
/** {x} → the same numbers as the backend stores activations */
export const NARROW = "PlumblineNarrow"
/** {x, factors} → each row of x times its factor */
export const SCALE_ROWS = "PlumblineScaleRows"
/** {target, source}, {index} → target with those rows replaced, in place where nothing shares its memory */
export const UPDATE_ROWS = "PlumblineUpdateRows"
/** {target}, {values} → the target where it was written in place, else a tensor of the values */
export const WRITE_VALUES = "PlumblineWriteValues"
/** {x} → [2]: √Σx² and what its rounding to float32 left */
export const TENSOR_NORM = "PlumblineTensorNorm"
/** {0, 1, …} → [2]: the norm of all tensors together, √Σ over all of x², in the same two parts */
export const GLOBAL_NORM = "PlumblineGlobalNorm"
/** {parameter, gradient, firstMoment, secondMoment} → [parameter, firstMoment, secondMoment], in place where unshared */
export const ADAMW = "PlumblineAdamW"
/**
 * [parameter, …, gradient, …, firstMoment, …, secondMoment, …], {decays, stepSizes: one a parameter} → [] where all were
 * written in place, else [parameter, …, firstMoment, …, secondMoment, …]
 */
export const ADAMW_ALL = "PlumblineAdamWAll"

/** {x} → the sum of all processes' x, in float32 */
export const SUM_OVER_PROCESSES = "PlumblineSumOverProcesses"
/** {x} → [size / processes]: this process's part of that sum, in the order of its axes, once it is settled */
export const SUM_PART = "PlumblineSumPart"
/** [] → [], after which the parts of sums are there */
export const SETTLE_SUMS = "PlumblineSettleSums"
/** {x}, {rank, processes} → [size / processes]: a copy of that part of x */
export const OWN_PART = "PlumblineOwnPart"
/** {part, whole} → the whole with all processes' parts in their places, in place where nothing shares its memory */
export const JOIN_PARTS = "PlumblineJoinParts"
/** [part, …, whole, …] → []: begins to gather all processes' parts into the wholes, as products read them, in memory of their own */
export const GATHER_PARTS = "PlumblineGatherParts"
/** [] → [], after which what was gathered is there */
export const AWAIT_GATHERS = "PlumblineAwaitGathers"
/** {}, {shape} → a tensor of that shape without values, in next to no memory */
export const WITHOUT_VALUES = "PlumblineWithoutValues"
/** [whole, …] → []: frees their values */
export const RELEASE_VALUES = "PlumblineReleaseValues"

// kernels of tfjs, run without what it does around them

/** {x}, {shape} → the same values */
export const RESHAPE = "Reshape"
/** {x} → the same values */
export const IDENTITY = "Identity"
/** {a, b}, {transposeA, transposeB} → a·b */
export const MATRIX_PRODUCT = "BatchMatMul"

/** Whether the active backend implements `kernel`. */
export const hasKernel = (kernel: string): boolean => kernelOf(kernel, tf.getBackend()) !== undefined

/** Runs one of our kernels on the tape: its registered gradient applies. `attrs` are host data. */
export const fused = <R extends Tensor | Array<Tensor>>(
  kernel: string,
  inputs: Record<string, Tensor> | ReadonlyArray<Tensor>,
  attrs: Record<string, unknown> = {}
): R => tf.engine().runKernel(kernel, inputs as unknown as NamedTensorMap, attrs as never) as unknown as R
