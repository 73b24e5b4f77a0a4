import { rootMeanSquare } from "../decoder/norm.ts"
import type { Family } from "./family.ts"
import { gatedMlps } from "./gated-mlps.ts"
import { llamaNames } from "./llama-names.ts"
import { slidingEverywhere } from "./windows.ts"

/** Mistral: Llama with a sliding window. @see Jiang et al. 2023, https://arxiv.org/abs/2310.06825 */
export const mistral: Family = {
  modelType: "mistral",
  architecture: "MistralForCausalLM",
  names: llamaNames,
  norm: rootMeanSquare,
  epsilonField: "rms_norm_eps",
  mlps: gatedMlps,
  partialRotary: false,
  biases: () => ({ queryKeyValue: false, attentionOutput: false, mlp: false }),
  windows: slidingEverywhere,
  defaults: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    hidden_act: "silu",
    max_position_embeddings: 131072,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    sliding_window: 4096
  }
}
