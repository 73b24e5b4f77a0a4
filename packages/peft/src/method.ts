import type { DecoderConfig, JsonObject, Prefix, StoredTensor } from "@plumbline/models"
import type { RandomStream, Tensor, Tensor1D, Tensor2D } from "@plumbline/runtime"
import type { Adaptable, LinearModule, Selection } from "./targets.ts"

/** What a linear layer computes with in the base: x·Wᵀ + b. */
export interface BaseLinear {
  readonly weight: Tensor2D
  readonly bias: Tensor1D | undefined
}

export interface LowRank {
  readonly down: () => Tensor2D
  readonly up: () => Tensor2D
  readonly rank: number
  readonly scale: number
}

/** How one linear layer is adapted. Functions are synchronous and differentiable. */
export interface LinearAdapter {
  /** What the layer is given in place of its input [N, I]. */
  readonly input?: (x: Tensor2D) => Tensor2D
  /** [R, I] each: `output` is given their products with the input. Those of all layers on one input are one product. */
  readonly down: () => ReadonlyArray<Tensor2D>
  /**
   * The layer's output [N, O].
   *
   * @param y       what the base gives, which nothing else reads: it may be written over
   * @param reduced [N, R] each, in the order of `down`
   */
  readonly output: (y: Tensor2D, reduced: ReadonlyArray<Tensor2D>, base: () => BaseLinear) => Tensor2D
  /** What `output` adds where it does nothing else: scale·x·downᵀ·upᵀ, down [R, I] and up [O, R]. */
  readonly lowRank?: LowRank
  /** A layer that computes the same without an adapter. */
  readonly merge: (base: BaseLinear) => BaseLinear
}

/** A tensor of an adapter: the end of its name, its shape, and what a new adapter starts it with. */
export interface AdapterTensor {
  readonly suffix: string
  readonly shape: ReadonlyArray<number>
  /** Row-major float32. @param module a stream that all tensors of the module see */
  readonly initial: (stream: RandomStream, module: RandomStream) => Float32Array
  /** true when absent; a frozen one is stored all the same. */
  readonly trained?: boolean
  /** Factor on the learning rate; 1 when absent. */
  readonly rate?: number
}

/** Finds an adapter's tensors by the ends of their names. */
export type Found = (suffix: string) => Tensor

/** A kind of adapter with its numbers: what it puts on each linear layer, and how it is stored. A value; there is no registry. */
export interface AdapterMethod {
  /** `adapter_config.json`, as far as it does not depend on the model. */
  readonly config: JsonObject
  /** undefined where it is on no layer. */
  readonly selection: Selection | undefined
  /** Modules trained in full beside the adapter, by name or its end, such as heads and embeddings. */
  readonly trainedModules: ReadonlyArray<string>
  /** Biases trained in full: none, all of the model's, or those of adapted layers. */
  readonly biases: "none" | "all" | "adapted"
  /** Share of each input that the reduced products do not see while gradients are made. */
  readonly dropout: number
  /** Whether a new adapter gives what the base gives, bit for bit. */
  readonly startsNeutral: boolean
  /** Names or patterns of which each is to be of an adapted layer: of a new adapter, others are mistakes. */
  readonly patterns?: ReadonlyArray<string>
  /** Tensors of all layers together. */
  readonly shared: (modules: ReadonlyArray<LinearModule>) => ReadonlyArray<AdapterTensor>
  readonly tensors: (module: LinearModule) => ReadonlyArray<AdapterTensor>
  /** @param shared finds those of `shared` */
  readonly layer: (module: LinearModule, own: Found, shared: Found) => LinearAdapter
  /** What a module's tensors are stored as, by the ends of their names, where they are not stored as they are. */
  readonly stored?: (module: LinearModule, own: Found) => Readonly<Record<string, StoredTensor>>
  /** What it puts before the tokens of every row, where it does. */
  readonly prefix?: PrefixMethod
}

/** What a kind of adapter puts before every row, and how that is stored. */
export interface PrefixMethod {
  /** Fields of `adapter_config.json` that depend on the model. */
  readonly fields: (config: DecoderConfig) => JsonObject
  /** Suffixes are whole names. */
  readonly tensors: (model: Adaptable) => ReadonlyArray<AdapterTensor>
  readonly made: (config: DecoderConfig, found: Found) => Prefix
}

/** Fields of `AdapterMethod` that most kinds leave alone. */
export const plainMethod = {
  trainedModules: [],
  biases: "none",
  dropout: 0,
  startsNeutral: true,
  shared: () => []
} as const satisfies Partial<AdapterMethod>

export const zeros = (shape: ReadonlyArray<number>): Float32Array =>
  new Float32Array(shape.reduce((product, size) => product * size, 1))
