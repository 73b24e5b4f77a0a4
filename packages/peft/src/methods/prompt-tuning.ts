import { embeddedPrefix } from "@plumbline/models"
import { gatherRows, type Tensor2D, tf } from "@plumbline/runtime"
import type { AdapterMethod } from "../method.ts"
import { type VirtualTokenKind, type VirtualTokenOptions, virtualTokens } from "./virtual-tokens.ts"

const kind: VirtualTokenKind = {
  name: "prompt tuning",
  peftType: "PROMPT_TUNING",
  fields: ({ heads, layers, width }) => ({
    token_dim: width,
    num_attention_heads: heads,
    num_layers: layers,
    prompt_tuning_init: "RANDOM",
    prompt_tuning_init_text: null,
    tokenizer_name_or_path: null
  }),
  width: ({ width }) => width,
  ofTokens: ({ config, weights }, ids) =>
    tf.tidy(() => {
      const matrix = weights.tensor(`${config.family.names.embedding}.weight`) as Tensor2D
      return gatherRows(matrix, ids).dataSync() as Float32Array
    }),
  prefix: (_, stored, tokens) => embeddedPrefix(() => stored("prompt_embeddings") as Tensor2D, tokens)
}

/**
 * Learnt embeddings [V, D] before every row, which go through the frozen model like those of tokens; tokens' positions
 * begin behind them.
 *
 * @see Lester et al. 2021, https://arxiv.org/abs/2104.08691
 */
export const promptTuning = (options: VirtualTokenOptions): AdapterMethod => virtualTokens(kind, options)
