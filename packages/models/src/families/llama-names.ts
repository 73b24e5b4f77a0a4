import type { ParameterNames } from "./family.ts"

/** The names of LlamaForCausalLM, which most families of transformers took over. */
export const llamaNames: ParameterNames = {
  embedding: "model.embed_tokens",
  layer: (index) => `model.layers.${index}`,
  attentionNorm: "input_layernorm",
  query: "self_attn.q_proj",
  key: "self_attn.k_proj",
  value: "self_attn.v_proj",
  attentionOutput: "self_attn.o_proj",
  queryNorm: "self_attn.q_norm",
  keyNorm: "self_attn.k_norm",
  mlpNorm: "post_attention_layernorm",
  mlp: "mlp",
  finalNorm: "model.norm",
  output: "lm_head"
}
