import { gatherRows, tf, type Tensor1D, type Tensor2D } from "@plumbline/runtime"

/** What becomes of the tokens that the teacher's top-k does not name. */
export type TailRule = "bucket" | "renormalize"

/** What a teacher says of M tokens: the K most likely ones of each, host data. */
export interface TopLogits {
  readonly k: number
  /** Size of the teacher's vocabulary: where K reaches it there is no tail. */
  readonly vocabulary: number
  /** [M·K] int32, by falling logit */
  readonly ids: Int32Array
  /** [M·K] float32, nats, normalised over the teacher's whole vocabulary */
  readonly logProbs: Float32Array
}

export interface OutcomeOptions {
  readonly tail: TailRule
  /** Multiplies the student's logits before they are normalised over the K; 1 when absent. */
  readonly logitsScale?: number
  /** The same for the teacher's. */
  readonly targetLogitsScale?: number
}

/** Least share of probability that a tail is taken for: below, float32 sees only rounding. */
const LEAST_TAIL = 1e-7

/**
 * Log-probabilities of the same outcomes under teacher and student, for C tokens from `first` on: the K tokens that the
 * teacher names, and
 *
 *   "bucket"       all others together as one outcome, so nothing is left out: a lower bound of the divergence over the vocabulary
 *   "renormalize"  nothing else: both are normalised over the K, and what the student gives to other tokens costs nothing
 *
 * @param logits [C, V] of the student
 * @returns      [C, K] or, with a bucket, [C, K + 1] each
 */
export const outcomes = (
  { ids, k, logProbs, vocabulary }: TopLogits,
  logits: Tensor2D,
  first: number,
  { logitsScale = 1, tail, targetLogitsScale = 1 }: OutcomeOptions
): { readonly teacher: Tensor2D; readonly student: Tensor2D } => {
  const [count, size] = logits.shape
  const chosen = atIds(logits, ids.subarray(first * k, (first + count) * k), k)
  const named = tf.tensor2d(logProbs.subarray(first * k, (first + count) * k), [count, k])
  if (tail === "renormalize") {
    return {
      teacher: tf.logSoftmax(tf.mul(named, targetLogitsScale)),
      student: tf.logSoftmax(tf.mul(chosen, logitsScale))
    }
  }
  const student = tf.sub<Tensor2D>(chosen, tf.logSumExp(logits, 1, true))
  return k === vocabulary && k === size
    ? { teacher: named, student }
    : { teacher: withTail(named), student: withTail(student) }
}

/** The logits of K ids a token: [C, V] → [C, K]. */
export const atIds = (logits: Tensor2D, ids: Int32Array, k: number): Tensor2D => {
  const [count, size] = logits.shape
  const flat = ids.map((id, i) => Math.floor(i / k) * size + id)
  return tf.reshape(gatherRows(tf.reshape(logits, [count * size, 1]), flat), [count, k]) as Tensor2D
}

/** One more column: log(1 − Σ p). */
const withTail = (named: Tensor2D): Tensor2D => {
  const whole = tf.logSumExp(named, 1, true) as Tensor1D
  const rest = tf.log(tf.maximum(tf.neg(tf.expm1(whole)), LEAST_TAIL))
  return tf.concat([named, rest as Tensor2D], 1)
}
