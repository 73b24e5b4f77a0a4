import type { Family } from "./family.ts"
import { qwen2 } from "./qwen2.ts"
import { qwenMixtures } from "./qwen-mixtures.ts"
import { slidingByTurns } from "./windows.ts"

/** Qwen1.5 and 2's mixtures of experts, with an expert that every token goes to. @see Yang et al. 2024, https://arxiv.org/abs/2407.10671 */
export const qwen2Moe: Family = {
  ...qwen2,
  modelType: "qwen2_moe",
  architecture: "Qwen2MoeForCausalLM",
  mixtures: qwenMixtures,
  biases: ({ qkv_bias = true }) => ({ queryKeyValue: qkv_bias, attentionOutput: false, mlp: false }),
  windows: slidingByTurns,
  defaults: {
    vocab_size: 151936,
    hidden_size: 2048,
    intermediate_size: 5632,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    num_key_value_heads: 16,
    hidden_act: "silu",
    max_position_embeddings: 32768,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    use_sliding_window: false,
    sliding_window: 4096,
    max_window_layers: 28,
    num_experts: 60,
    num_experts_per_tok: 4,
    moe_intermediate_size: 1408,
    shared_expert_intermediate_size: 5632,
    norm_topk_prob: false,
    decoder_sparse_step: 1,
    router_aux_loss_coef: 0.001,
    output_router_logits: false
  }
}
