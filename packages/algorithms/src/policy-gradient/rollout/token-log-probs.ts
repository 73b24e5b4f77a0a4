import { collate, type CollateOptions, type TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { balanced, type RowSplit } from "./balanced.ts"

/** How rows are computed on: at one time, and laid out. */
export interface Computing extends CollateOptions {
  readonly split: RowSplit
}

/**
 * Log-probs of the counted tokens of each row under a model, host data, in packed passes without gradients.
 *
 * @returns one [counted tokens] float32 a row, nats, in the order of the rows
 */
export const rowLogProbs = (
  model: CausalLM,
  rows: ReadonlyArray<TokenizedRow>,
  { layout, padId, split }: Computing,
  temperature: number
): ReadonlyArray<Float32Array> => {
  const byRow: Array<Float32Array> = Array.from({ length: rows.length }, () => new Float32Array(0))
  const counted = rows.flatMap((row, number) => (row.lossMask.includes(1, 1) ? [{ row, number }] : []))
  for (const part of balanced(counted, ({ row }) => row.ids.length, split)) {
    const batch = collate(
      part.map(({ row }) => row),
      { layout, padId }
    )
    const all = tf.tidy(() => model.tokenLogProbs(batch, { temperature }).logProbs.dataSync() as Float32Array)
    let start = 0
    part.forEach(({ number }, r) => {
      let end = start
      while (batch.scored.rows[end] === r) end += 1
      byRow[number] = all.slice(start, end)
      start = end
    })
  }
  return byRow
}
