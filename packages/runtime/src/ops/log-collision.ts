import { tf, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { chunkLogits, LOGIT_CHUNK, rows, type TokenLogProbsOptions } from "./token-log-probs.ts"

/**
 * Log of the probability that two draws from softmax(hidden·Wᵀ) agree, log Σ_v p_v², in chunks as `tokenLogProbs`.
 *
 * @param hidden [M, D] float32
 * @param weight [V, D] float32, output matrix
 * @returns      [M] float32, nats, from −log V to 0; has no gradient
 */
export const logCollision = (hidden: Tensor2D, weight: Tensor2D, options: TokenLogProbsOptions = {}): Tensor1D =>
  // inside a function with a gradient of its own the tape records nothing, so it keeps no logits
  customGradient([hidden, weight], ([states, matrix]) => ({
    value: tf.concat(
      Array.from({ length: Math.ceil(hidden.shape[0] / LOGIT_CHUNK) }, (_, chunk) => {
        const start = chunk * LOGIT_CHUNK
        return tf.tidy(() => {
          const part = rows(states as Tensor2D, start, Math.min(LOGIT_CHUNK, hidden.shape[0] - start))
          const { logits } = chunkLogits(part, matrix as Tensor2D, options)
          return tf.sub<Tensor1D>(tf.logSumExp(tf.mul(2, logits), 1), tf.mul(2, tf.logSumExp(logits, 1)))
        })
      })
    ),
    gradFunc: () => {
      throw new Error("log-collision probabilities have no gradient")
    }
  })) as Tensor1D
