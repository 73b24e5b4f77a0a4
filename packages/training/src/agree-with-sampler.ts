import { collate } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { batchInvariantFor, tf } from "@plumbline/runtime"
import { Effect } from "effect"

/**
 * Has what a model's sampler says of a token and what its trainer says be computed alike until the scope ends, where that is
 * left open.
 *
 * @param tell says so, or why it cannot be
 */
export const agreeWithSampler = (model: CausalLM, tell: (line: string) => Effect.Effect<void>) =>
  Effect.flatMap(
    batchInvariantFor(() => score(model)),
    (told) => (told === undefined ? Effect.void : tell(told))
  )

/** Goes through all products and the attention of a model once. */
const score = (model: CausalLM): void => {
  const rows = collate([{ ids: Int32Array.of(0, 0), lossMask: Uint8Array.of(0, 1) }], { layout: "packed", padId: 0 })
  tf.tidy(() => void model.tokenLogProbs(rows).logProbs.dataSync())
}
