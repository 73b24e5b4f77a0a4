import type { ScoredRows, TokenRows } from "@plumbline/data"
import type { Tensor, Tensor1D, Tensor2D, TokenLogProbs, TokenLogProbsOptions, Variable } from "@plumbline/runtime"
import type { DecoderConfig, JsonObject } from "./config/decoder-config.ts"
import type { CachedRows, KeyValueCache } from "./decoder/key-value-cache.ts"
import type { Prefix } from "./decoder/prefix.ts"
import type { Weights } from "./decoder/weights.ts"
import type { Shards } from "./processes/shards.ts"
import type { StoredTensor } from "./safetensors/stored-tensor.ts"
import type { WeightsVersion } from "./weights-version.ts"

/** What a folder of a model holds, where that is not the whole model. */
export interface FolderContents {
  /** Files that are JSON objects, by name. */
  readonly json: Readonly<Record<string, JsonObject>>
  readonly weightsFile: string
  /** By name in that file. */
  readonly tensors: ReadonlyMap<string, StoredTensor>
}

/** What a model may be rebuilt on: other parameters, or the same seen in another way. */
export interface ModelParts {
  readonly name: string
  readonly parameters: ReadonlyMap<string, Tensor>
  readonly variables: ReadonlyArray<Variable>
  readonly dispose: () => void
  /** How blocks see the parameters: `parameterWeights(parameters)`, unless adapters wrap it. */
  readonly weights?: Weights | undefined
  /** That of another model over the same parameters; one of its own when absent. */
  readonly version?: WeightsVersion | undefined
  /** Whether gradients compute each block again from its input; as before when absent, and not at first. */
  readonly recomputing?: boolean | undefined
  /** The whole model, when absent. */
  readonly contents?: FolderContents | undefined
  /** What stands before the tokens of every row; what stood there before when absent. */
  readonly prefix?: Prefix | undefined
  /** Factor on the learning rate of each variable; 1 when absent. */
  readonly rateOf?: ((variable: Variable) => number) | undefined
  /** How a copy is made, where that is not a copy of every parameter. */
  readonly copy?: ((name: string, trainable: boolean) => Model) | undefined
  /** The model below an adapter under another name, on the same parameters; absent where there is none. */
  readonly bare?: ((name: string) => Model) | undefined
  /** Which parameters several processes have in parts; as before when absent, and none at first. */
  readonly shards?: Shards | undefined
}

export interface Model {
  readonly name: string
  /** How blocks see the parameters. */
  readonly weights: Weights
  readonly contents: FolderContents | undefined
  readonly rateOf: ModelParts["rateOf"]
  readonly copy: ModelParts["copy"]
  readonly bare: ModelParts["bare"]
  /** Which parameters several processes have in parts; undefined where each process has the whole model. */
  readonly shards: Shards | undefined
  /** The same kind of model with the same configuration on other parts. */
  readonly rebuilt: (parts: ModelParts) => Model
  /** What an optimizer updates, in the order of `parameters`; empty when frozen. */
  readonly variables: ReadonlyArray<Variable>
  /** By Hugging Face name. */
  readonly parameters: ReadonlyMap<string, Tensor>
  readonly config: DecoderConfig
  /** Tokens that a row may have: the positions there are, less what stands before every row. */
  readonly contextTokens: number
  /** generation_config.json, where the model came with one. */
  readonly generationConfig: JsonObject | undefined
  /** Advanced by whatever changes the weights: an optimizer's step, `assign`. */
  readonly version: WeightsVersion
  readonly dispose: () => void
  /**
   * The same model on the same parameters, whose gradients keep only the input of each block and compute the block
   * again (activation checkpointing): less memory, about a third more time, the same numbers.
   */
  readonly recomputing: () => Model
}

export interface ScoringOptions extends TokenLogProbsOptions {
  /** Asks for `logCollision`, which costs another product with the output matrix. */
  readonly collision?: boolean | undefined
  /** Asks for an `entropy` that is differentiable, which costs another product with the output matrix, and two more backward. */
  readonly entropyGradient?: boolean | undefined
}

export interface ScoredTokens extends TokenLogProbs {
  /** [M] float32, nats, log Σ_v p_v² of each predicted distribution, without a gradient; where it was asked for */
  readonly logCollision?: Tensor1D
}

/** Places before every row that no token stands for, whose keys and values rows share. */
export interface PrefixPlaces {
  readonly length: number
  /** Writes them into pages of the cache by the weights as they are. @param pages in the order of the places */
  readonly fill: (cache: KeyValueCache, pages: Int32Array) => void
}

/** A model as far as an engine that writes text needs it. */
export interface SteppedModel {
  /** What stands before the tokens of every row, where there is something. */
  readonly prefix?: PrefixPlaces | undefined
  readonly config: DecoderConfig
  /** Tokens that a row may have. */
  readonly contextTokens: number
  readonly version: Pick<WeightsVersion, "current">
  /** Room for keys and values of `pages · pageSize` tokens. */
  readonly createCache: (pages: number, pageSize: number) => KeyValueCache
  /**
   * Feeds new tokens, whose keys and values go into the cache behind those of `rows.held`.
   *
   * @returns [M, V] logits at the flat positions `index`
   */
  readonly step: (rows: CachedRows, cache: KeyValueCache, index: Int32Array) => Tensor2D
}

/** A decoder with an output matrix. Its functions are synchronous, leak no tensor, and return nats and logits in float32. */
export interface CausalLM extends Model, SteppedModel {
  readonly version: WeightsVersion
  readonly rebuilt: (parts: ModelParts) => CausalLM
  readonly recomputing: () => CausalLM
  /** Token ids that end a response; empty when neither config names one. */
  readonly endTokens: ReadonlyArray<number>
  /** [N, D] after the final norm; differentiable */
  readonly hiddenStates: (rows: TokenRows) => Tensor2D
  /** [M], one for each scored token; `logProbs` is differentiable, `entropy` where it was asked for */
  readonly tokenLogProbs: (rows: ScoredRows, options?: ScoringOptions) => ScoredTokens
  /**
   * [M, J] what `perChunk` makes of the logits [C, V] of scored tokens `first` to `first + C − 1`, for losses that look at whole
   * distributions. Differentiable, and [M, V] is never stored: the backward pass makes each chunk's logits again, so
   * `perChunk` must be the same function at both times.
   */
  readonly mapLogits: (rows: ScoredRows, perChunk: (logits: Tensor2D, first: number) => Tensor2D) => Tensor2D
  /** [M, V] what the tokens at flat positions `index` predict; differentiable */
  readonly logits: (rows: TokenRows, index: Int32Array) => Tensor2D
}
