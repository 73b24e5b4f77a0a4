import type { FullConfig } from "../config/config-schema.ts"
import { PROJECTIONS } from "../decoder/mlp.ts"
import type { Mixtures } from "./family.ts"

/** Mixtures in every `decoder_sparse_step`th layer that `mlp_only_layers` does not name. */
export const qwenMixtures: Mixtures = {
  isMixture: ({ decoder_sparse_step: step = 1, mlp_only_layers }, layer) =>
    mlp_only_layers?.includes(layer) !== true && (layer + 1) % step === 0,
  of: (config) => ({
    experts: expertsOf(config),
    perToken: config.num_experts_per_tok!,
    renormalised: config.norm_topk_prob === true,
    expertWidth: config.moe_intermediate_size!,
    sharedWidth: config.shared_expert_intermediate_size
  }),
  names: PROJECTIONS,
  fusedMlp: "mlp"
}

/** transformers 5 may write the first name, and knows a default by the second. */
const expertsOf = ({ num_experts, num_local_experts }: FullConfig): number => num_local_experts ?? num_experts!
