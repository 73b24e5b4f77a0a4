export interface GradeModel {
  /** Best grade; grades are whole numbers from 0. */
  readonly max: number
  /** σ: standard deviation of a grade about the score, in grades. */
  readonly spread: number
}

/**
 * log P(grade | score), nats: an attribute model that was fitted by squared error takes a grade for a normal variable about its
 * score; of that the whole grades are a share each,
 *
 *   P(a) ∝ exp(−(a − score)²/(2σ²)),   a = 0, 1, …, max
 */
export const gradeLogProb = (score: number, grade: number, { max, spread }: GradeModel): number => {
  const logits = Array.from({ length: max + 1 }, (_, a) => -((a - score) ** 2) / (2 * spread ** 2))
  const top = Math.max(...logits)
  return logits[grade]! - top - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0))
}
