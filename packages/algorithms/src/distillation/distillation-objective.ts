import type { ScoredRows } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf, type Tensor1D, type Tensor2D } from "@plumbline/runtime"
import type { MicroBatch, Objective } from "@plumbline/training"
import type { DistillationLoss } from "./divergence-loss.ts"
import { atIds, type OutcomeOptions, outcomes, type TopLogits } from "./outcomes.ts"

export interface DistillationBatch extends MicroBatch {
  readonly rows: ScoredRows
  /** What the teacher says of each scored token. */
  readonly teacher: TopLogits
}

export interface DistillationOptions extends OutcomeOptions {
  readonly loss: DistillationLoss
  /** Of the divergence. */
  readonly divergenceWeight: number
  /** Of the cross-entropy of the rows' own tokens. */
  readonly crossEntropyWeight: number
}

/**
 * Distillation: the student's distributions are drawn to the teacher's, and to the tokens themselves,
 *
 *   L = Σ_t [w_d · D(teacher_t, student_t) − w_ce · log π(y_t | y_<t)] / tokens
 *
 * over the tokens that the loss counts, every one of the global batch weighing the same.
 */
export const distillationObjective = (
  options: DistillationOptions
): Objective<{ readonly policy: CausalLM }, DistillationBatch> => ({
  counts: ({ rows }) => ({ token: rows.scored.targets.length }),
  loss: ({ policy }, { origins, rows, teacher }) => {
    const { targets } = rows.scored
    const columns = policy.mapLogits(rows, (logits, first) => {
      const { student, teacher: told } = outcomes(teacher, logits, first, options)
      const target = atIds(logits, targets.subarray(first, first + logits.shape[0]), 1)
      const crossEntropy = tf.sub(tf.logSumExp(logits, 1, true), target)
      return tf.concat([tf.reshape(options.loss.perToken(told, student), [-1, 1]), crossEntropy], 1) as Tensor2D
    })
    const perRow = (column: number) => ({
      unit: "token",
      values: sumByRow(
        tf.reshape(tf.slice(columns, [0, column], [-1, 1]), [-1]) as Tensor1D,
        rows.scored.rows,
        origins.length
      )
    })
    const [divergence, crossEntropy] = [perRow(0), perRow(1)]
    return {
      terms: [
        { ...divergence, weight: options.divergenceWeight },
        { ...crossEntropy, weight: options.crossEntropyWeight }
      ].filter(({ weight }) => weight !== 0),
      metrics: { kd_loss: divergence, sft_loss: crossEntropy }
    }
  }
})
