import type { ScoredRows, TokenizedRow } from "@plumbline/data"
import { type CausalLM, createModel, llama } from "@plumbline/models"
import { embedding, tf, type Tensor2D, tokenLogProbs } from "@plumbline/runtime"

export const VOCABULARY = 13

/** A two-layer Llama of 13 tokens, its output spread wide enough that tokens differ. */
export const smallModel = (seed = 5): CausalLM =>
  createModel(
    {
      family: llama,
      vocabulary: VOCABULARY,
      width: 16,
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      mlpWidth: 24,
      maxPositions: 32,
      settings: { initializer_range: 0.3 }
    },
    seed
  )

/**
 * A policy whose next-token distribution depends on the current token alone: answers multiply by hand.
 *
 * @param table probabilities, one row for each current token
 */
export const transitionModel = (table: ReadonlyArray<ReadonlyArray<number>>): Pick<CausalLM, "tokenLogProbs"> => {
  const logits = tf.keep(tf.log(tf.tensor2d(table.map((row) => [...row])))) as Tensor2D
  const identity = tf.keep(tf.eye(table.length)) as Tensor2D
  return {
    tokenLogProbs: (rows: ScoredRows) => {
      const current = rows.scored.index.map((index) => rows.tokens[index]!)
      return tokenLogProbs(embedding(logits, current), identity, rows.scored.targets)
    }
  }
}

/** A row whose first `prompt` tokens are not scored. */
export const row = (ids: ReadonlyArray<number>, prompt: number): TokenizedRow => ({
  ids: Int32Array.from(ids),
  lossMask: Uint8Array.from(ids, (_, t) => (t >= prompt ? 1 : 0))
})

/** Rows of several lengths with prompts of several lengths. */
export const unevenRows: ReadonlyArray<TokenizedRow> = [
  row([1, 2, 3, 4, 5], 2),
  row([6, 7], 1),
  row([8, 9, 10, 11, 12, 1, 2, 3, 4], 6),
  row([5, 5, 5, 6], 1),
  row([3, 1, 4, 1, 5, 9, 2], 3),
  row([2, 7, 1, 8], 2)
]
