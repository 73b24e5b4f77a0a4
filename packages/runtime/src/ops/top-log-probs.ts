import { fused, hasKernel, TOP_LOG_PROBS } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { gatherRows } from "./embedding.ts"
import { topRow } from "./top-row.ts"

export interface TopLogProbs {
  /** [M, K] int32, by falling logit, equal ones by rising id */
  readonly ids: Tensor2D
  /** [M, K] float32, nats, of each */
  readonly logProbs: Tensor2D
  /** [M] float32, nats */
  readonly targetLogProbs: Tensor1D
}

/** Which rows of logits are ranked; host data. */
export interface RankedRows {
  /** [M] int32, of rows of the logits */
  readonly rows: Int32Array
  /** [M] int32, a token of each whose log-prob is wanted, whatever its rank */
  readonly targets: Int32Array
  /** Most likely tokens of each, 1 at least; all where there are no more. */
  readonly count: number
}

/** Whether logits are ranked where they are computed; else whole rows come to the host. */
export const canRankLogits = (): boolean => hasKernel(TOP_LOG_PROBS)

/**
 * The most likely tokens of rows of logits under their softmax. Not differentiable.
 *
 * @param logits [N, V] float32
 */
export const topLogProbs = (logits: Tensor2D, ranked: RankedRows): TopLogProbs => {
  const count = Math.min(ranked.count, logits.shape[1])
  return tf.tidy(() => {
    const made = hasKernel(TOP_LOG_PROBS)
      ? fused<Array<Tensor>>(TOP_LOG_PROBS, { logits }, { ...ranked, count })
      : topOnHost(logits, ranked, count)
    const [ids, logProbs, targetLogProbs] = made
    return { ids, logProbs, targetLogProbs } as unknown as TopLogProbs & Record<string, Tensor>
  })
}

const topOnHost = (logits: Tensor2D, { rows, targets }: RankedRows, count: number): Array<Tensor> => {
  const [total, vocabulary] = [rows.length, logits.shape[1]]
  const values = gatherRows(logits, rows).dataSync() as Float32Array
  const ids = new Int32Array(total * count)
  const [logProbs, targetLogProbs] = [new Float32Array(total * count), new Float32Array(total)]
  for (let row = 0; row < total; row++) {
    const top = topRow(values.subarray(row * vocabulary, (row + 1) * vocabulary), targets[row]!, count)
    ids.set(top.ids, row * count)
    logProbs.set(top.logProbs, row * count)
    targetLogProbs[row] = top.targetLogProb
  }
  return [tf.tensor2d(ids, [total, count], "int32"), tf.tensor2d(logProbs, [total, count]), tf.tensor1d(targetLogProbs)]
}
