import { rootMeanSquare } from "../decoder/norm.ts"
import type { Family } from "./family.ts"
import { gatedMlps } from "./gated-mlps.ts"
import { llamaNames } from "./llama-names.ts"
import { slidingByLayer } from "./windows.ts"

/** Qwen3: each query and key head normalised, heads wider than width / heads. @see Yang et al. 2025, https://arxiv.org/abs/2505.09388 */
export const qwen3: Family = {
  modelType: "qwen3",
  architecture: "Qwen3ForCausalLM",
  names: llamaNames,
  norm: rootMeanSquare,
  epsilonField: "rms_norm_eps",
  queryKeyNorm: rootMeanSquare,
  mlps: gatedMlps,
  partialRotary: false,
  biases: ({ attention_bias = false }) => ({
    queryKeyValue: attention_bias,
    attentionOutput: attention_bias,
    mlp: false
  }),
  windows: slidingByLayer,
  defaults: {
    vocab_size: 151936,
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    head_dim: 128,
    hidden_act: "silu",
    max_position_embeddings: 32768,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    use_sliding_window: false,
    sliding_window: 4096,
    max_window_layers: 28
  }
}
