import type { ReferenceUse } from "@plumbline/algorithms/commands"
import {
  causalParameters,
  type DecoderConfig,
  mostGathered,
  type ParameterSpec,
  quantisedMatrices
} from "@plumbline/models"
import type { AdapterSize } from "@plumbline/peft"
import { nf4Bytes, type Sharding } from "@plumbline/runtime"
import type { MachineOptions } from "../backend.ts"

/** What memory depends on besides the model and the data. */
export interface Training extends Pick<MachineOptions, "device" | "precision"> {
  /** Undefined where all weights are trained. */
  readonly adapter: AdapterSize | undefined
  /** The model below the adapter is in 4 bits. */
  readonly quantised: boolean
  readonly activationCheckpointing: boolean
  /** Those that share each step; memory is that of one. */
  readonly processes: number
  /** What these divide. */
  readonly sharding: Sharding
}

/** Bytes. */
export interface MemoryCosts {
  /** With the copies of trained matrices that products in bfloat16 read. */
  readonly weights: number
  readonly gradients: number
  readonly moments: number
  readonly reference: number
  readonly activations: number
  /** Hidden states before the output matrix with their gradients, and a chunk of logits. */
  readonly output: number
  /** The largest matrix of those in 4 bits, as a product reads it. */
  readonly unfolded: number
  /** Matrices that are held in parts, as far as they are whole at one time. */
  readonly gathered: number
}

/** The largest micro-batch, and how it is used. */
export interface MicroBatch {
  readonly tokens: number
  /** Whether the batch is more than one of them, whose gradients are added up. */
  readonly isPart: boolean
  readonly reference: ReferenceUse
}

const FLOAT_BYTES = 4

export const memoryOf = (config: DecoderConfig, { isPart, reference, tokens }: MicroBatch, training: Training) => {
  const { adapter, processes } = training
  const parameters = causalParameters(config)
  const trained = adapter?.trained ?? parameters.reduce((total, spec) => total + sizeOf(spec), 0)
  const costs: MemoryCosts = {
    weights: weightBytes(config, parameters, training, reference),
    gradients: gradientBytes(trained, isPart, training),
    moments: (2 * trained * FLOAT_BYTES) / processes,
    reference: referenceBytes(parameters, training, reference),
    activations: tokens * storage(training) * activationFeatures(config, training),
    output: outputBytes(config, tokens, training),
    unfolded: storage(training) * Math.max(0, ...foldedSizes(config, parameters, training)),
    gathered: isSharded(training) ? storage(training) * mostGathered(config) : 0
  }
  return costs
}

/**
 * Of one process all; several add up those of their micro-batches and send the sums as they are complete, of which the most
 * under way at a time is bounded.
 */
const gradientBytes = (trained: number, isPart: boolean, training: Training): number => {
  const { processes } = training
  const own = trained * storage(training)
  if (processes === 1) return own
  // each micro-batch's are sent, and a process's parts of them added to those before
  if (isSharded(training)) return Math.min(own, UNSENT_BYTES) + ((isPart ? 2 : 1) * trained * FLOAT_BYTES) / processes
  return (isPart ? own : Math.min(own, UNSENT_BYTES)) + (trained * FLOAT_BYTES) / processes
}

/** What is sent and not yet gone, as the backends bound it, and what waits for its turn. */
const UNSENT_BYTES = 2 ** 30

/** Bytes of a number of an activation, and of a matrix that products read. */
const storage = ({ precision }: Training): number => (precision === "bfloat16" ? 2 : FLOAT_BYTES)

const isSharded = ({ processes, sharding }: Training): boolean => sharding === "full" && processes > 1

/** Bytes of a number of a frozen matrix. */
const frozenBytes = (training: Training): number =>
  isSharded(training) ? storage(training) / training.processes : storage(training)

const isNarrow = (training: Training): boolean => storage(training) < FLOAT_BYTES

const isMatrix = ({ shape }: ParameterSpec): boolean => shape.length === 2
const sizeOf = ({ shape }: ParameterSpec): number => shape.reduce((product, length) => product * length, 1)
const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

/** A trained number: its float32 value, and the copy that products read where that is narrower. */
const trainedBytes = (training: Training): number => FLOAT_BYTES + (isNarrow(training) ? storage(training) : 0)

/** The same of a matrix of a whole model: several processes each have a part of the values, unless these move a reference. */
const matrixBytes = (training: Training, reference: ReferenceUse): number => {
  if (isSharded(training)) return FLOAT_BYTES / training.processes
  return isNarrow(training) && reference !== "moving"
    ? FLOAT_BYTES / training.processes + storage(training)
    : trainedBytes(training)
}

/** Of parameters whose matrices take that many bytes a number. */
const bytesOf = (parameters: ReadonlyArray<ParameterSpec>, ofMatrix: number): number =>
  sum(parameters.map((spec) => sizeOf(spec) * (isMatrix(spec) ? ofMatrix : FLOAT_BYTES)))

const weightBytes = (
  config: DecoderConfig,
  parameters: ReadonlyArray<ParameterSpec>,
  training: Training,
  reference: ReferenceUse
): number => {
  const { adapter, quantised } = training
  if (adapter === undefined) return bytesOf(parameters, matrixBytes(training, reference))
  const folded = quantised ? quantisedMatrices(config) : new Set<string>()
  const unfolded = parameters.filter(({ name }) => !folded.has(name))
  const frozen = sum(foldedSizes(config, parameters, training).map(nf4Bytes)) + bytesOf(unfolded, frozenBytes(training))
  return frozen + adapter.trained * trainedBytes(training) + (adapter.stored - adapter.trained) * FLOAT_BYTES
}

const foldedSizes = (config: DecoderConfig, parameters: ReadonlyArray<ParameterSpec>, { quantised }: Training) => {
  const folded = quantised ? quantisedMatrices(config) : new Set<string>()
  return parameters.filter(({ name }) => folded.has(name)).map(sizeOf)
}

/** That of a new adapter is the model below it, of an old one its copy; of a model trained whole another one, frozen or like it. */
const referenceBytes = (
  parameters: ReadonlyArray<ParameterSpec>,
  training: Training,
  reference: ReferenceUse
): number => {
  const { adapter } = training
  if (reference === "never") return 0
  if (adapter !== undefined)
    return adapter.isNew && reference !== "moving" ? 0 : adapter.stored * trainedBytes(training)
  return bytesOf(parameters, reference === "moving" ? trainedBytes(training) : frozenBytes(training))
}

/**
 * Numbers that a token leaves behind for the backward pass, and the slopes in one block's MLP. With activation
 * checkpointing those of one block at a time, and each block's input.
 */
const activationFeatures = (config: DecoderConfig, training: Training): number => {
  const { activationCheckpointing } = training
  const { layers, width } = config
  const blocks = Array.from({ length: layers }, (_, layer) => blockFeatures(config, layer, training))
  const kept = activationCheckpointing ? Math.max(...blocks) + layers * width : sum(blocks)
  return kept + Math.max(...blocks.map((_, layer) => slopesOfMlp(config, layer)))
}

const slopesOfMlp = (config: DecoderConfig, layer: number): number => {
  const { copies, expert, width } = mlpOf(config, layer)
  return copies * expert.length * width
}

/** The linear layers of a block's MLP, or of each of its experts; how many of those a token goes through, and how wide they are. */
const mlpOf = ({ family: { names }, mlpWidth, mlps, width }: DecoderConfig, layer: number) => {
  const { mixture, parameters } = mlps[layer]!
  const modules = parameters(`${names.layer(layer)}.${names.mlp}`, { width, mlpWidth, bias: false })
    .map(({ name }) => name.replace(/\.weight$/, ""))
    .slice(mixture === undefined ? 0 : 1)
  const size = modules.length / (mixture?.experts ?? 1)
  return {
    copies: mixture?.perToken ?? 1,
    width: mixture?.expertWidth ?? mlpWidth,
    expert: modules.slice(0, size),
    /** Those of all experts that read their input, and those that read what is within them. */
    before: modules.filter((_, i) => i % size < size - 1),
    last: modules.filter((_, i) => i % size === size - 1)
  }
}

/**
 * In each block both sums that are normed, queries, keys, values, what attention gives, and what the MLP's activation is
 * given; besides, the input of each group of linear layers that has a gradient of weights, its own or of an adapter.
 */
const blockFeatures = (config: DecoderConfig, layer: number, { adapter, quantised }: Training): number => {
  const { family, headWidth, heads, keyValueHeads, width } = config
  const { names } = family
  const prefix = names.layer(layer)
  const onInput = (modules: ReadonlyArray<string>) =>
    adapter === undefined || modules.some((module) => adapter.modules.includes(module)) ? 1 : 0
  const mlp = mlpOf(config, layer)
  const heard = [names.query, names.key, names.value].map((part) => `${prefix}.${part}`)
  const attention = 2 * headWidth * (heads + keyValueHeads)
  // experts have copies of their tokens, and what they give is weighed
  const seen = mlp.copies > 1 ? mlp.copies * (onInput(mlp.before) + 1) : onInput(mlp.before)
  const projected = mlp.expert.length - 1
  // below 4 bits a gated activation is made again
  const activated = quantised && projected === 2 ? 0 : onInput(mlp.last)
  return (2 + onInput(heard) + seen) * width + attention + mlp.copies * (projected + activated) * mlp.width
}

/** Bytes that a chunk of logits may take, as the backends choose it. */
const CHUNK_BYTES = { cpu: 2 ** 28, cuda: 2 ** 30 }

const outputBytes = ({ vocabulary, width }: DecoderConfig, tokens: number, training: Training): number => {
  const logits = tokens * vocabulary * storage(training)
  return 3 * tokens * width * storage(training) + Math.min(logits, CHUNK_BYTES[training.device])
}
