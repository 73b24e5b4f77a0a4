import type { TokenRows } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { MicroBatch, Objective } from "@plumbline/training"

/** R rows with grades. */
export interface GradedRows extends MicroBatch {
  readonly rows: TokenRows
  /** [R, K] float32 row-major, NaN where a grade is missing */
  readonly grades: Float32Array
  /** [K] */
  readonly attributes: ReadonlyArray<string>
}

/** HelpSteer's attributes. @see Wang et al. 2023, https://arxiv.org/abs/2311.09528 */
export const HELPSTEER = ["helpfulness", "correctness", "coherence", "complexity", "verbosity"] as const

/** Those of NeMo-Aligner's SteerLM, in its order. */
export const STEERLM = [
  "quality",
  "toxicity",
  "humor",
  "creativity",
  "helpfulness",
  "correctness",
  "coherence",
  "complexity",
  "verbosity"
] as const

/**
 * Attributes learnt as numbers: the mean over grades that are there, every one weighing the same,
 *
 *   L = Σ_{i,k} (ŷ_ik − y_ik)²·1[y_ik is there] / Σ_{i,k} 1[y_ik is there]
 *
 * @see Dong et al. 2023 (SteerLM), https://arxiv.org/abs/2310.05344
 */
export const regressionObjective: Objective<{ readonly reward: ScalarModel }, GradedRows> = {
  counts: ({ attributes, grades }) => ({
    grade: grades.filter((grade) => !Number.isNaN(grade)).length,
    ...Object.fromEntries(attributes.map((name, k) => [gradeOf(name), column(grades, attributes.length, k).present]))
  }),
  loss: ({ reward }, { attributes, grades, rows }) => {
    const shape: [number, number] = [rows.starts.length, attributes.length]
    // masked before the square: what is missing reaches neither value nor gradient
    const there = tf.tensor2d(
      grades.map((grade) => (Number.isNaN(grade) ? 0 : 1)),
      shape
    )
    const wanted = tf.tensor2d(
      grades.map((grade) => (Number.isNaN(grade) ? 0 : grade)),
      shape
    )
    const squares = tf.square(tf.mul(there, tf.sub(reward.rowScores(rows), wanted)))
    const ofAttribute = (k: number) => tf.reshape(tf.slice(squares, [0, k], [-1, 1]), [-1]) as Tensor1D
    return {
      terms: [{ unit: "grade", values: tf.sum(squares, 1) }],
      metrics: Object.fromEntries(
        attributes.map((name, k) => [`mse/${name}`, { unit: gradeOf(name), values: ofAttribute(k) }])
      )
    }
  }
}

const gradeOf = (name: string): string => `grade of ${name}`

const column = (grades: Float32Array, width: number, k: number) => ({
  present: grades.filter((grade, i) => i % width === k && !Number.isNaN(grade)).length
})
