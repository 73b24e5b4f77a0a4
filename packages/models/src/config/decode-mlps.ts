import { Effect } from "effect"
import { join } from "node:path"
import { mixtureOfExperts } from "../decoder/mixture.ts"
import type { Mlp } from "../decoder/mlp.ts"
import { ConfigInvalid } from "../errors.ts"
import type { Family } from "../families/family.ts"
import type { FullConfig } from "./config-schema.ts"

/** [layers] the MLP of each, or the mixture of such. */
export const decodeMlps = Effect.fnUntraced(function* (
  folder: string,
  config: FullConfig,
  { mixtures, mlps }: Family
): Effect.fn.Return<ReadonlyArray<Mlp>, ConfigInvalid> {
  const plain = mlps[config.hidden_act]!
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => layer)
  if (mixtures === undefined) return layers.map(() => plain)
  const options = mixtures.of(config)
  if (options.perToken > options.experts) {
    const reason = `a token goes to ${options.perToken} experts, and there are ${options.experts}`
    return yield* new ConfigInvalid({ file: join(folder, "config.json"), field: "num_experts_per_tok", reason })
  }
  const mixture = mixtureOfExperts({ ...options, expert: plain })
  return layers.map((layer) => (mixtures.isMixture(config, layer) ? mixture : plain))
})
