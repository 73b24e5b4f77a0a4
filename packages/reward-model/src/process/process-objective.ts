import type { TokenRows } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { logSigmoid, sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { MicroBatch, Objective } from "@plumbline/training"

/** R responses in S judged steps. */
export interface JudgedSteps extends MicroBatch {
  readonly rows: TokenRows
  readonly steps: {
    /** [S] int32, flat position of the token that ends each step */
    readonly index: Int32Array
    /** [S] int32 */
    readonly rows: Int32Array
    /** [S] 1 right, 0 wrong */
    readonly labels: Float32Array
  }
}

/**
 * Whether each step is right, read where it ends: the mean over judged steps of
 *
 *   L = −y·log σ(s) − (1−y)·log σ(−s)
 *
 * A score of 0 costs ln 2. The cross-entropy of two classes is the same with s the difference of their logits.
 *
 * @see Lightman et al. 2023, https://arxiv.org/abs/2305.20050; Uesato et al. 2022, https://arxiv.org/abs/2211.14275
 */
export const processObjective: Objective<{ readonly reward: ScalarModel }, JudgedSteps> = {
  counts: ({ steps }) => ({ step: steps.index.length }),
  loss: ({ reward }, { origins, rows, steps }) => {
    const scores = tf.reshape(reward.tokenScores(rows, steps.index), [-1]) as Tensor1D
    const signs = tf.tensor1d(steps.labels.map((label) => 2 * label - 1))
    const signed = tf.mul<Tensor1D>(scores, signs)
    const perRow = (values: Tensor1D) => ({ unit: "step", values: sumByRow(values, steps.rows, origins.length) })
    return {
      terms: [perRow(tf.neg(logSigmoid(signed)))],
      metrics: { accuracy: perRow(tf.cast(tf.greater(signed, 0), "float32")) }
    }
  }
}
