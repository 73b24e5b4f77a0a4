import { TOKEN_IDS, tokenIdsOf } from "@plumbline/data"
import { Schema } from "effect"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
/** Names of all parameters are made of these before a file is opened: a slip of the pen must not fill the memory. */
const Few = Count.check(Schema.isLessThanOrEqualTo(4096))
const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const optional = Schema.optionalKey

const TokenId = Schema.NullOr(Schema.Int)
const TokenIds = Schema.declare(
  (value): value is number | ReadonlyArray<number> | null => tokenIdsOf(value) !== undefined,
  { expected: TOKEN_IDS }
)

/** Special tokens, which config.json and generation_config.json both may name. */
const specialTokens = {
  bos_token_id: optional(TokenId),
  eos_token_id: optional(TokenIds),
  pad_token_id: optional(TokenId)
} as const

/** The fields of generation_config.json that are read; others are kept. */
export const GenerationConfigSchema = Schema.Struct(specialTokens)

/** The fields of config.json that decide what is computed. Others are kept and ignored: real files have many. */
export const ConfigSchema = Schema.Struct({
  model_type: Schema.String,
  ...specialTokens,
  vocab_size: optional(Count),
  hidden_size: optional(Count),
  intermediate_size: optional(Count),
  num_hidden_layers: optional(Few),
  num_attention_heads: optional(Count),
  num_key_value_heads: optional(Schema.NullOr(Count)),
  head_dim: optional(Schema.NullOr(Count)),
  hidden_act: optional(Schema.String),
  max_position_embeddings: optional(Count),
  initializer_range: optional(Positive),
  rms_norm_eps: optional(Positive),
  norm_eps: optional(Positive),
  tie_word_embeddings: optional(Schema.Boolean),
  attention_bias: optional(Schema.Boolean),
  mlp_bias: optional(Schema.Boolean),
  attention_dropout: optional(Schema.NullOr(Schema.Finite)),
  sliding_window: optional(Schema.NullOr(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))),
  use_sliding_window: optional(Schema.Boolean),
  max_window_layers: optional(Schema.Int),
  layer_types: optional(Schema.NullOr(Schema.Array(Schema.String))),
  partial_rotary_factor: optional(Schema.NullOr(Positive)),
  rope_theta: optional(Schema.NullOr(Positive)),
  rope_scaling: optional(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  rope_parameters: optional(Schema.NullOr(Schema.Record(Schema.String, Schema.Unknown))),
  original_max_position_embeddings: optional(Schema.NullOr(Count)),
  num_local_experts: optional(Few),
  num_experts: optional(Few),
  num_experts_per_tok: optional(Count),
  norm_topk_prob: optional(Schema.Boolean),
  moe_intermediate_size: optional(Count),
  shared_expert_intermediate_size: optional(Count),
  decoder_sparse_step: optional(Count),
  mlp_only_layers: optional(Schema.NullOr(Schema.Array(Schema.Int))),
  qkv_bias: optional(Schema.Boolean),
  router_jitter_noise: optional(Schema.NullOr(Schema.Finite)),
  router_aux_loss_coef: optional(Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))),
  output_router_logits: optional(Schema.Boolean),
  quantization_config: optional(Schema.Unknown)
})

export type ConfigFields = typeof ConfigSchema.Type

/** The fields that every model has. */
type Always =
  | "vocab_size"
  | "hidden_size"
  | "intermediate_size"
  | "num_hidden_layers"
  | "num_attention_heads"
  | "hidden_act"
  | "max_position_embeddings"
  | "initializer_range"
  | "tie_word_embeddings"

/** A family's values for absent fields. */
export type ConfigDefaults = Required<Pick<ConfigFields, Always>> & Omit<ConfigFields, Always | "model_type">

/** config.json with its family's defaults filled in. */
export type FullConfig = ConfigFields & ConfigDefaults
