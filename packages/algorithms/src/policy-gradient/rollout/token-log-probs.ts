import { collate, type CollateOptions, type TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { type ProcessesShape, tf } from "@plumbline/runtime"
import { shareWork } from "@plumbline/training"
import { balanced, type RowSplit } from "./balanced.ts"

/** How rows are computed on: at one time, and laid out. */
export interface Computing extends CollateOptions {
  readonly split: RowSplit
  /** Those that share the rows. */
  readonly processes: ProcessesShape
}

/**
 * Log-probs of the counted tokens of each row under a model, host data, in packed passes without gradients.
 *
 * @returns one [counted tokens] float32 a row, nats, in the order of the rows
 */
export const rowLogProbs = (
  model: CausalLM,
  rows: ReadonlyArray<TokenizedRow>,
  { layout, padId, processes, split }: Computing,
  temperature: number
): ReadonlyArray<Float32Array> => {
  const byRow: Array<Float32Array> = Array.from({ length: rows.length }, () => new Float32Array(0))
  const counted = rows.flatMap((row, number) =>
    row.lossMask.includes(1, 1) ? [{ row, number, tokens: row.ids.length }] : []
  )
  const parts = balanced(counted, ({ tokens }) => tokens, split)
  const byPart = shareWork(processes, parts, (part) => {
    const batch = collate(
      part.map(({ row }) => row),
      { layout, padId }
    )
    const all = tf.tidy(() => model.tokenLogProbs(batch, { temperature }).logProbs.dataSync() as Float32Array)
    let start = 0
    return part.map((_, r) => {
      let end = start
      while (batch.scored.rows[end] === r) end += 1
      const own = all.slice(start, end)
      start = end
      return own
    })
  })
  parts.forEach((part, p) => part.forEach(({ number }, r) => (byRow[number] = byPart[p]![r]!)))
  return byRow
}
