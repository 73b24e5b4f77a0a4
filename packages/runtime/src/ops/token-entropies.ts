import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { chunkLogits, LOGIT_CHUNK, rows, type TokenLogProbsOptions } from "./token-log-probs.ts"

/**
 * Entropy of softmax(hidden·Wᵀ) at each position, differentiable, in chunks as `tokenLogProbs`:
 *
 *   H = −Σ_v p_v·log p_v,   ∂H/∂logit_v = −p_v·(log p_v + H)
 *
 * @param hidden [M, D] float32
 * @param weight [V, D] float32, output matrix
 * @returns      [M] float32, nats, from 0 to log V
 */
export const tokenEntropies = (hidden: Tensor2D, weight: Tensor2D, options: TokenLogProbsOptions = {}): Tensor1D =>
  customGradient([hidden, weight], (inputs, save) => {
    const [states, matrix] = inputs as [Tensor2D, Tensor2D]
    save([states, matrix])
    const parts = chunkStarts(states).map((start) => tf.tidy(() => chunk(states, matrix, start, options).entropy))
    return { value: tf.concat(parts), gradFunc: (dy, saved) => backward(dy as Tensor1D, saved, options) }
  }) as Tensor1D

const chunkStarts = ({ shape: [count] }: Tensor2D): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(count / LOGIT_CHUNK) }, (_, i) => i * LOGIT_CHUNK)

const chunk = (hidden: Tensor2D, weight: Tensor2D, start: number, options: TokenLogProbsOptions) => {
  const states = rows(hidden, start, Math.min(LOGIT_CHUNK, hidden.shape[0] - start))
  const { logits, squashed } = chunkLogits(states, weight, options)
  const logProbs = tf.logSoftmax(logits)
  const probs = tf.exp(logProbs)
  return { states, squashed, logProbs, probs, entropy: tf.neg(tf.sum(tf.mul(probs, logProbs), 1)) as Tensor1D }
}

const backward = (dy: Tensor1D, saved: Array<Tensor>, options: TokenLogProbsOptions): Array<Tensor> => {
  const [hidden, weight] = saved as [Tensor2D, Tensor2D]
  const parts: Array<Tensor2D> = []
  let total: Tensor2D = tf.zeros(weight.shape)
  for (const start of chunkStarts(hidden)) {
    const [part, sum] = tf.tidy(() => {
      const { entropy, logProbs, probs, squashed, states } = chunk(hidden, weight, start, options)
      const slope = tf.neg(tf.mul(probs, tf.add(logProbs, tf.expandDims(entropy, 1))))
      let delta = tf.mul(slope, tf.reshape(tf.slice(dy, start, states.shape[0]), [-1, 1])) as Tensor2D
      if (options.temperature !== undefined) delta = tf.div(delta, options.temperature)
      if (squashed !== undefined) delta = tf.mul(delta, tf.sub(1, tf.square(squashed)))
      return [tf.matMul(delta, weight), tf.add(total, tf.matMul(delta, states, true))] as const
    }) as unknown as readonly [Tensor2D, Tensor2D]
    parts.push(part)
    total.dispose()
    total = sum
  }
  return [tf.concat(parts, 0), total]
}
