import type { Biases } from "../config/decoder-config.ts"
import type { ConfigDefaults, FullConfig } from "../config/config-schema.ts"
import type { MixtureOptions } from "../decoder/mixture.ts"
import type { GatedNames, Mlp } from "../decoder/mlp.ts"
import type { Norm } from "../decoder/norm.ts"

/** Hugging Face names of a decoder's parts; those of a layer are relative to `layer(i)`, those of an MLP to `mlp`. */
export interface ParameterNames {
  readonly embedding: string
  readonly layer: (index: number) => string
  readonly attentionNorm: string
  readonly query: string
  readonly key: string
  readonly value: string
  readonly attentionOutput: string
  readonly queryNorm: string
  readonly keyNorm: string
  readonly mlpNorm: string
  readonly mlp: string
  readonly finalNorm: string
  readonly output: string
}

/** The mixtures of experts of a family, whose experts are its MLPs. */
export interface Mixtures {
  readonly isMixture: (config: FullConfig, layer: number) => boolean
  readonly of: (config: FullConfig) => Omit<MixtureOptions, "expert">
  /** Of an expert's linear layers. */
  readonly names: GatedNames
  /** What stands for an MLP's name where the experts of a layer are stored in one tensor, as transformers 5 holds them. */
  readonly fusedMlp: string
}

/** A decoder family: the properties in which its blocks differ from others', and how its config.json states them. */
export interface Family {
  /** `model_type` of config.json. */
  readonly modelType: string
  /** Class that transformers opens it with. */
  readonly architecture: string
  readonly names: ParameterNames
  readonly norm: Norm
  readonly epsilonField: "rms_norm_eps" | "norm_eps"
  /** Norm of each query and key head, where the family has one. */
  readonly queryKeyNorm?: Norm
  /** By `hidden_act`. */
  readonly mlps: Readonly<Record<string, Mlp>>
  /** Where some layers have mixtures of such MLPs. */
  readonly mixtures?: Mixtures
  /** Whether `partial_rotary_factor` may rotate only a part of each head. */
  readonly partialRotary: boolean
  readonly biases: (config: FullConfig) => Biases
  /** [layers] */
  readonly windows: (config: FullConfig) => ReadonlyArray<number | undefined>
  /** What transformers assumes where config.json is silent. */
  readonly defaults: ConfigDefaults
}
