import type { GatedNames } from "../decoder/mlp.ts"
import { rootMeanSquare } from "../decoder/norm.ts"
import type { Family } from "./family.ts"
import { gatedMlpsNamed } from "./gated-mlps.ts"
import { llamaNames } from "./llama-names.ts"
import { slidingEverywhere } from "./windows.ts"

const names: GatedNames = { gate: "w1", up: "w3", down: "w2" }

/** Mixtral: Mistral with a mixture of experts in every block. @see Jiang et al. 2024, https://arxiv.org/abs/2401.04088 */
export const mixtral: Family = {
  modelType: "mixtral",
  architecture: "MixtralForCausalLM",
  names: { ...llamaNames, mlp: "block_sparse_moe" },
  norm: rootMeanSquare,
  epsilonField: "rms_norm_eps",
  mlps: gatedMlpsNamed(names),
  mixtures: {
    isMixture: () => true,
    of: (config) => ({
      experts: config.num_local_experts!,
      perToken: config.num_experts_per_tok!,
      renormalised: true
    }),
    names,
    fusedMlp: "mlp"
  },
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
    rms_norm_eps: 1e-5,
    tie_word_embeddings: false,
    sliding_window: null,
    num_local_experts: 8,
    num_experts_per_tok: 2,
    router_aux_loss_coef: 0.001,
    output_router_logits: false
  }
}
