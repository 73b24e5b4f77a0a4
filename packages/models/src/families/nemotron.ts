import { squaredReluMlp } from "../decoder/mlp.ts"
import { layerNormOnePlus } from "../decoder/norm.ts"
import type { Family } from "./family.ts"
import { llamaNames } from "./llama-names.ts"
import { fullAttention } from "./windows.ts"

/** Nemotron-4 and Minitron: LayerNorm1P, squared ReLU, partial rotary. @see Parmar et al. 2024, https://arxiv.org/abs/2402.16819 */
export const nemotron: Family = {
  modelType: "nemotron",
  architecture: "NemotronForCausalLM",
  names: llamaNames,
  norm: layerNormOnePlus,
  epsilonField: "norm_eps",
  mlps: { relu2: squaredReluMlp },
  partialRotary: true,
  biases: ({ attention_bias = false, mlp_bias = false }) => ({
    queryKeyValue: attention_bias,
    attentionOutput: attention_bias,
    mlp: mlp_bias
  }),
  windows: fullAttention,
  defaults: {
    vocab_size: 256000,
    hidden_size: 6144,
    intermediate_size: 24576,
    num_hidden_layers: 32,
    num_attention_heads: 48,
    hidden_act: "relu2",
    max_position_embeddings: 4096,
    initializer_range: 0.0134,
    norm_eps: 1e-5,
    tie_word_embeddings: false,
    partial_rotary_factor: 0.5
  }
}
