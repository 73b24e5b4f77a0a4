import { rootMeanSquare } from "../decoder/norm.ts"
import type { Family } from "./family.ts"
import { gatedMlps } from "./gated-mlps.ts"
import { llamaNames } from "./llama-names.ts"
import { fullAttention } from "./windows.ts"

/** Llama 1 to 3. @see Touvron et al. 2023, https://arxiv.org/abs/2302.13971 */
export const llama: Family = {
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  names: llamaNames,
  norm: rootMeanSquare,
  epsilonField: "rms_norm_eps",
  mlps: gatedMlps,
  partialRotary: false,
  biases: ({ attention_bias = false, mlp_bias = false }) => ({
    queryKeyValue: attention_bias,
    attentionOutput: attention_bias,
    mlp: mlp_bias
  }),
  windows: fullAttention,
  defaults: {
    vocab_size: 32000,
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    hidden_act: "silu",
    max_position_embeddings: 2048,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false
  }
}
