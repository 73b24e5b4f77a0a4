import { fused, hasKernel, TOKEN_LOG_PROBS } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { customGradient } from "./custom-gradient.ts"
import { composedLinear } from "./linear.ts"

export interface TokenLogProbs {
  /** [M] float32, nats, ≤ 0; the only differentiable output */
  readonly logProbs: Tensor1D
  /** [M] float32, nats, entropy of each predicted distribution */
  readonly entropy: Tensor1D
  /** [M] float32, 1 where the target is the most likely token */
  readonly correct: Tensor1D
}

export interface TokenLogProbsOptions {
  /** Divides the logits; 1 when absent. */
  readonly temperature?: number | undefined
  /** c in c·tanh(logit / c). */
  readonly softCap?: number | undefined
}

/** Tokens whose logits exist at one time. */
export const LOGIT_CHUNK = 256

/**
 * Log-probability of each target under softmax(hidden·Wᵀ), in chunks: [M, V] is never stored, neither
 * forward nor backward (the backward pass makes each chunk's logits again).
 *
 * @param hidden  [M, D] float32, the hidden state that predicts each target
 * @param weight  [V, D] float32, output matrix
 * @param targets [M] token ids in [0, V), host data
 */
export const tokenLogProbs = (
  hidden: Tensor2D,
  weight: Tensor2D,
  targets: Int32Array,
  options: TokenLogProbsOptions = {}
): TokenLogProbs => {
  checkTargets(targets, hidden, weight)
  if (!hasKernel(TOKEN_LOG_PROBS)) {
    return tf.tidy(() => ({ ...composedTokenLogProbs(hidden, weight, targets, options) }))
  }
  const { softCap = 0, temperature = 1 } = options
  // Without the tape nobody will ask for the gradient that the forward pass can prepare.
  const withSlopes = tf.engine().isTapeOn()
  const attrs = { targets, temperature, softCap, withSlopes }
  const [logProbs, entropy, correct, ...kept] = fused<Array<Tensor>>(TOKEN_LOG_PROBS, { hidden, weight }, attrs)
  tf.dispose(kept)
  return { logProbs: logProbs as Tensor1D, entropy: entropy as Tensor1D, correct: correct as Tensor1D }
}

const checkTargets = (targets: Int32Array, hidden: Tensor2D, weight: Tensor2D): void => {
  const vocabulary = weight.shape[0]
  if (targets.length !== hidden.shape[0]) {
    throw new RangeError(`${targets.length} targets for ${hidden.shape[0]} hidden states`)
  }
  const outside = targets.findIndex((id) => id < 0 || id >= vocabulary)
  if (outside >= 0) throw new RangeError(`target ${targets[outside]} (at ${outside}) of a vocabulary of ${vocabulary}`)
}

export const composedTokenLogProbs = (
  hidden: Tensor2D,
  weight: Tensor2D,
  targets: Int32Array,
  options: TokenLogProbsOptions = {}
): TokenLogProbs => {
  const packed = customGradient([hidden, weight], (inputs, save) => {
    const [states, matrix] = inputs as [Tensor2D, Tensor2D]
    save([states, matrix])
    const parts = chunks(targets).map(([start, ids]) =>
      tf.tidy(() => forwardChunk(rows(states, start, ids.length), matrix, ids, options))
    )
    return {
      value: tf.concat(parts, 1),
      gradFunc: (dy, saved) =>
        backward(tf.reshape(tf.slice(dy as Tensor2D, [0, 0], [1, -1]), [-1, 1]), saved, targets, options)
    }
  }) as Tensor2D
  const line = (index: number) => tf.reshape(tf.slice(packed, [index, 0], [1, -1]), [-1]) as Tensor1D
  return { logProbs: line(0), entropy: line(1), correct: line(2) }
}

/** One at least, of no tokens where there are none. */
const chunks = (targets: Int32Array): ReadonlyArray<readonly [number, Int32Array]> =>
  Array.from({ length: Math.max(1, Math.ceil(targets.length / LOGIT_CHUNK)) }, (_, i) => [
    i * LOGIT_CHUNK,
    targets.subarray(i * LOGIT_CHUNK, (i + 1) * LOGIT_CHUNK)
  ])

export const rows = (x: Tensor2D, start: number, count: number): Tensor2D => tf.slice(x, [start, 0], [count, -1])

/** Logits after the soft cap and the temperature, and the cap's slope for the backward pass. */
export const chunkLogits = (hidden: Tensor2D, weight: Tensor2D, { softCap, temperature = 1 }: TokenLogProbsOptions) => {
  const raw = composedLinear(hidden, weight)
  const squashed = softCap === undefined ? undefined : tf.tanh(tf.div(raw, softCap))
  const capped = squashed === undefined ? raw : tf.mul(squashed, softCap!)
  return { logits: temperature === 1 ? capped : tf.div(capped, temperature), squashed }
}

const oneHot = (targets: Int32Array, vocabulary: number): Tensor2D =>
  tf.oneHot(tf.tensor1d(targets, "int32"), vocabulary) as Tensor2D

/** [3, C]: log-probs, entropies, hits. */
const forwardChunk = (hidden: Tensor2D, weight: Tensor2D, targets: Int32Array, options: TokenLogProbsOptions) => {
  const { logits } = chunkLogits(hidden, weight, options)
  const logNormalizer = tf.logSumExp(logits, 1)
  const target = tf.sum(tf.mul(oneHot(targets, weight.shape[0]), logits), 1)
  const expected = tf.sum(tf.mul(tf.exp(tf.sub(logits, tf.expandDims(logNormalizer, 1))), logits), 1)
  const correct = tf.cast(tf.equal(tf.argMax(logits, 1), tf.tensor1d(targets, "int32")), "float32")
  // the cpu backend cannot stack what is empty
  if (targets.length === 0) return tf.zeros([3, 0]) as Tensor2D
  return tf.stack([tf.sub(target, logNormalizer), tf.sub(logNormalizer, expected), correct]) as Tensor2D
}

const backward = (dy: Tensor, saved: Array<Tensor>, targets: Int32Array, options: TokenLogProbsOptions) => {
  const [hidden, weight] = saved as [Tensor2D, Tensor2D]
  const hiddenParts: Array<Tensor2D> = []
  let weightTotal: Tensor2D = tf.zeros(weight.shape)
  for (const [start, ids] of chunks(targets)) {
    const [part, total] = tf.tidy(() => {
      const states = rows(hidden, start, ids.length)
      const { logits, squashed } = chunkLogits(states, weight, options)
      const slope = tf.sub(oneHot(ids, weight.shape[0]), tf.softmax(logits))
      let delta = tf.mul(slope, rows(dy as Tensor2D, start, ids.length)) as Tensor2D
      if (options.temperature !== undefined) delta = tf.div(delta, options.temperature)
      if (squashed !== undefined) delta = tf.mul(delta, tf.sub(1, tf.square(squashed)))
      return [tf.matMul(delta, weight), tf.add(weightTotal, tf.matMul(tf.transpose(delta), states))] as const
    }) as unknown as readonly [Tensor2D, Tensor2D]
    hiddenParts.push(part)
    weightTotal.dispose()
    weightTotal = total
  }
  return [tf.concat(hiddenParts, 0), weightTotal]
}
