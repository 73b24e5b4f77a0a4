import type { Family } from "./family.ts"
import { qwen3 } from "./qwen3.ts"
import { qwenMixtures } from "./qwen-mixtures.ts"
import { slidingWhereUsed } from "./windows.ts"

/** Qwen3's mixtures of experts. @see Yang et al. 2025, https://arxiv.org/abs/2505.09388 */
export const qwen3Moe: Family = {
  ...qwen3,
  modelType: "qwen3_moe",
  architecture: "Qwen3MoeForCausalLM",
  mixtures: qwenMixtures,
  windows: slidingWhereUsed,
  defaults: {
    vocab_size: 151936,
    hidden_size: 2048,
    intermediate_size: 6144,
    num_hidden_layers: 24,
    num_attention_heads: 32,
    num_key_value_heads: 4,
    hidden_act: "silu",
    max_position_embeddings: 32768,
    initializer_range: 0.02,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    use_sliding_window: false,
    sliding_window: 4096,
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 768,
    norm_topk_prob: false,
    decoder_sparse_step: 1,
    router_aux_loss_coef: 0.001,
    output_router_logits: false
  }
}
