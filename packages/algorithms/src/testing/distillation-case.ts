import { collate, type RowLayout, type ScoredRows, type TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { tf, type Tensor2D } from "@plumbline/runtime"
import type { DistillationBatch } from "../distillation/distillation-objective.ts"
import type { DistillationLoss } from "../distillation/divergence-loss.ts"
import { topLogits } from "../distillation/top-logits.ts"

type Table = ReadonlyArray<ReadonlyArray<number>>

const logs = (table: Table): Tensor2D => tf.log(tf.tensor2d(table.map((row) => [...row])))

/** The loss of student distributions against teacher distributions, by row. */
export const lossOfTables = (loss: DistillationLoss, teacher: Table, student: Table): ReadonlyArray<number> =>
  tf.tidy(() => [...loss.perToken(logs(teacher), logs(student)).dataSync()])

/** ∂ Σ loss / ∂ logits of the student, by the tape. */
export const gradientOnLogits = (loss: DistillationLoss, teacher: Table, logits: Table): ReadonlyArray<number> =>
  tf.tidy(() => {
    const total = (at: Tensor2D) => tf.sum(loss.perToken(logs(teacher), tf.logSoftmax(at)))
    const gradient = tf.grad(total as never)(tf.tensor2d(logits.map((row) => [...row])))
    return [...gradient.dataSync()]
  })

/** Rows with what a teacher says of them. */
export const taughtBatch = (
  teacher: CausalLM,
  rows: ReadonlyArray<TokenizedRow>,
  k: number,
  layout: RowLayout = "packed"
): DistillationBatch => {
  const collated: ScoredRows = collate(rows, { layout, padId: 0 })
  return {
    rows: collated,
    teacher: topLogits(teacher, collated, k),
    tokens: rows.reduce((total, { ids }) => total + ids.length, 0),
    origins: rows.map((_, i) => `row ${i}`)
  }
}
