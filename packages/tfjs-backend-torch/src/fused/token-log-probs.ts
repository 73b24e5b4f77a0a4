import { free } from "../free.ts"
import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace, atenOwned, inScope } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT32, INT64 } from "../scalar-type.ts"
import { cudaStorage } from "./cuda/kernels.ts"
import { cudaScale } from "./cuda/row-launches.ts"
import { type LogitOptions, logitSlopes, logitStatistics } from "./logit-rows.ts"
import { addMatrixProduct, matrixProductInto } from "./matrix-product.ts"
import { productIn, roomFor } from "./product.ts"
import { activation, cast, emptyOf, wide, zerosOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

interface Inputs {
  readonly hidden: TensorInfo
  readonly weight: TensorInfo & { readonly trainable?: boolean }
}

/** Bytes that the logits of one chunk may take; more rows a chunk make better products. */
const CHUNK_BYTES = { cpu: 2 ** 28, cuda: 2 ** 30 }

const [t, narrow, to] = [aten("t"), aten("narrow"), aten("to.dtype")]
const scaleInPlace = atenInPlace("mul_.Tensor")
const emptyOwned = atenOwned("empty.memory_format")

interface Chunk {
  readonly start: number
  readonly count: number
  readonly hidden: Handle
  readonly weight: Handle
  /** [count, V] in the storage of the hidden states; may be overwritten. */
  readonly logits: Handle
  /** [count] int64 on CPU paths, int32 where our CUDA kernel reads them. */
  readonly targets: Handle
  /** Storage macro of our CUDA kernels, where they apply. */
  readonly T: string | undefined
}

/** Logits chunk by chunk; [M, V] is never stored. */
const eachChunk = (
  { hidden, weight }: Inputs,
  { targets }: LogitOptions,
  scope: KernelScope,
  use: (chunk: Chunk) => void
): void => {
  const states = activation(hidden, scope)
  const type = typeOf(states)
  const matrix = cast(scope.backend.compute(weight), type)
  const vocabulary = weight.shape[0]!
  const T = cudaStorage([states], scope)
  const ids = scope.upload(targets, [targets.length], INT32)
  const all = T === undefined ? to(ids, INT64) : ids
  const size = chunkSize(targets.length, vocabulary, type, scope)
  const room = roomFor(size, states, matrix, scope)
  for (let start = 0; start < targets.length; start += size) {
    inScope(() => {
      const count = Math.min(size, targets.length - start)
      const rows = narrow(states, 0, start, count)
      const logits = productIn(room, rows, matrix, scope)
      use({ start, count, hidden: rows, weight: matrix, logits, targets: narrow(all, 0, start, count), T })
    })
  }
}

const chunkSize = (count: number, vocabulary: number, type: number, scope: KernelScope): number => {
  const bytes = CHUNK_BYTES[scope.backend.cuda === undefined ? "cpu" : "cuda"]
  const most = Math.max(1, Math.floor(bytes / vocabulary / (type === FLOAT32 ? 4 : 2)))
  const rounded = most > 256 ? most - (most % 256) : most
  return Math.min(rounded, Math.max(1, count))
}

/**
 * Whether the last weight gradient had the same factor for every token, as a mean over tokens has: the backend knows it
 * from how the factors were made, without reading them. Then the forward pass makes the gradient for factors of 1, while
 * it has the logits, and the backward pass only multiplies it. Which of the two ways was foreseen never changes a
 * result: equal factors are always multiplied in afterwards.
 */
let equalFactorsExpected = true

/** → [log-probs, entropy, correct, log-normalizers] and, withSlopes, the gradient of each log-prob by its hidden state. */
export const tokenLogProbs: Kernel = (inputs: Inputs, options: LogitOptions, scope) => {
  const { targets, withSlopes } = options
  const { hidden, weight } = inputs
  const lines = [0, 1, 2, 3].map(() => emptyOf([targets.length], FLOAT32, scope))
  const type = typeOf(activation(hidden, scope))
  const slopes = withSlopes ? emptyOf(hidden.shape, type, scope) : undefined
  const early = withSlopes && weight.trainable === true && equalFactorsExpected && targets.length > 0
  const total = early ? emptyOwned(weight.shape, type, undefined, scope.backend.device) : undefined
  eachChunk(inputs, options, scope, (chunk) => {
    const parts = lines.map((line) => narrow(line, 0, chunk.start, chunk.count))
    const prepared = logitStatistics(chunk, parts, options, scope)
    if (slopes === undefined) return
    const known = { logNormalizer: parts[3]!, factors: undefined, prepared }
    const unit = logitSlopes(chunk, known, options, scope)
    matrixProductInto(unit, chunk.weight, narrow(slopes, 0, chunk.start, chunk.count), scope)
    if (total !== undefined) addWeightGradient(total, unit, chunk, scope)
  })
  const outputs = lines.map((line) => scope.out(line, "float32", [targets.length]))
  if (total !== undefined) scope.backend.setCompanion(outputs[3]!, total)
  return slopes === undefined ? outputs : [...outputs, scope.out(slopes, "float32", hidden.shape)]
}

interface WeightGradientInputs extends Inputs {
  readonly logNormalizer: TensorInfo
  readonly dy: TensorInfo
}

/** dweight: from the forward pass where every factor is the same, else the logits are made again. */
export const tokenLogProbsWeightGradient: Kernel = (inputs: WeightGradientInputs, options: LogitOptions, scope) => {
  const factors = wide(scope.of(inputs.dy))
  const equal = options.targets.length > 0 && scope.backend.isUniform(inputs.dy)
  equalFactorsExpected = equal
  const early = scope.backend.takeCompanion(inputs.logNormalizer)
  if (early !== undefined && !equal) free(early)
  const gradient = early !== undefined && equal ? early : madeAgain(inputs, equal ? undefined : factors, options, scope)
  if (equal) scale(gradient, narrow(factors, 0, 0, 1), scope)
  return scope.out(gradient, "float32", inputs.weight.shape)
}

/** x times one number that is on the device, in place. */
const scale = (x: Handle, factor: Handle, scope: KernelScope): void => {
  const T = cudaStorage([x], scope)
  if (T === undefined) scaleInPlace(x, factor)
  else cudaScale(x, factor, T, scope)
}

const madeAgain = (
  inputs: WeightGradientInputs,
  factors: Handle | undefined,
  options: LogitOptions,
  scope: KernelScope
): Handle => {
  const type = typeOf(activation(inputs.hidden, scope))
  const total = (options.targets.length === 0 ? zerosOf : emptyOf)(inputs.weight.shape, type, scope)
  const normalizers = scope.of(inputs.logNormalizer)
  eachChunk(inputs, options, scope, (chunk) => {
    const part = (line: Handle) => narrow(line, 0, chunk.start, chunk.count)
    const scales = factors === undefined ? undefined : part(factors)
    const known = { logNormalizer: part(normalizers), factors: scales, prepared: {} }
    addWeightGradient(total, logitSlopes(chunk, known, options, scope), chunk, scope)
  })
  return total
}

/** Adds slopesᵀ·hidden of a chunk; the first chunk's product fills the memory. */
const addWeightGradient = (total: Handle, slopes: Handle, { hidden, start }: Chunk, scope: KernelScope): void => {
  if (start === 0) matrixProductInto(t(slopes), hidden, total, scope)
  else addMatrixProduct(total, t(slopes), hidden, scope)
}
