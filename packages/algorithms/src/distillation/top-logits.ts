import type { ScoredRows } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import type { TopLogits } from "./outcomes.ts"

/** The K most likely tokens after each position of rows that the loss counts, as a teacher sees them. */
export const topLogits = (teacher: CausalLM, rows: ScoredRows, k: number): TopLogits => {
  const { vocabulary } = teacher.config
  const most = Math.min(k, vocabulary)
  const count = rows.scored.index.length
  const ids = new Int32Array(count * most)
  const logProbs = new Float32Array(count * most)
  tf.tidy(() => {
    teacher.mapLogits(rows, (logits, first) => {
      const { indices, values } = tf.topk(logits, most)
      ids.set(indices.dataSync() as Int32Array, first * most)
      logProbs.set(tf.sub(values, tf.logSumExp(logits, 1, true)).dataSync() as Float32Array, first * most)
      return tf.zeros([logits.shape[0], 1])
    })
  })
  return { k: most, vocabulary, ids, logProbs }
}
