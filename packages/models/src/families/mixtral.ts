import type { GatedNames } from "../decoder/mlp.ts"
import type { Family } from "./family.ts"
import { gatedMlpsNamed } from "./gated-mlps.ts"
import { mistral } from "./mistral.ts"

const names: GatedNames = { gate: "w1", up: "w3", down: "w2" }

/** Mixtral: Mistral with a mixture of experts in every block. @see Jiang et al. 2024, https://arxiv.org/abs/2401.04088 */
export const mixtral: Family = {
  ...mistral,
  modelType: "mixtral",
  architecture: "MixtralForCausalLM",
  names: { ...mistral.names, mlp: "block_sparse_moe" },
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
  defaults: {
    ...mistral.defaults,
    rms_norm_eps: 1e-5,
    rope_theta: 1_000_000,
    sliding_window: null,
    num_local_experts: 8,
    num_experts_per_tok: 2,
    router_aux_loss_coef: 0.001,
    output_router_logits: false
  }
}
