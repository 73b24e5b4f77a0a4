import { tf, type Tensor1D, type Tensor2D } from "@plumbline/runtime"

/** How far the student's distributions are from the teacher's. */
export interface DistillationLoss {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: Readonly<Record<string, unknown>>
  /**
   * @param teacher [C, J] float32, nats: log-probabilities of J outcomes, which add up to 1 in each row
   * @param student [C, J] of the same outcomes
   * @returns       [C] nats, 0 where both agree
   */
  readonly perToken: (teacher: Tensor2D, student: Tensor2D) => Tensor1D
}

/** KL(p‖q) = Σ p·(log p − log q), by row. */
const divergence = (p: Tensor2D, q: Tensor2D): Tensor1D => tf.sum(tf.mul(tf.exp(p), tf.sub(p, q)), 1)

/**
 * KL(teacher‖student): the student must cover all that the teacher says. Its gradient on the student's logits is q − p.
 *
 * @see Hinton et al. 2015, https://arxiv.org/abs/1503.02531
 */
export const forwardDivergence = (): DistillationLoss => ({
  name: "forward_kl",
  options: {},
  perToken: (teacher, student) => divergence(teacher, student)
})

/**
 * KL(student‖teacher): the student must not say what the teacher would not.
 *
 * @see Gu et al. 2024 (MiniLLM), https://arxiv.org/abs/2306.08543
 */
export const reverseDivergence = (): DistillationLoss => ({
  name: "reverse_kl",
  options: {},
  perToken: (teacher, student) => divergence(student, teacher)
})

/** ½·KL(teacher‖student) + ½·KL(student‖teacher), Jeffreys' divergence halved. */
export const symmetricDivergence = (): DistillationLoss => ({
  name: "symmetric_kl",
  options: {},
  perToken: (teacher, student) => tf.mul(0.5, tf.add(divergence(teacher, student), divergence(student, teacher)))
})

export interface JensenShannonOptions {
  /** Weight of the teacher in the mixture, in [0, 1]. */
  readonly beta: number
}

/**
 * Generalised Jensen–Shannon divergence, with M = β·teacher + (1−β)·student:
 *
 *   β·KL(teacher‖M) + (1−β)·KL(student‖M);   at β = 0 KL(teacher‖student), at β = 1 KL(student‖teacher)
 *
 * It jumps at both ends: the form in between goes to 0 there.
 *
 * @see Agarwal et al. 2024 (GKD), eq. 1, https://arxiv.org/abs/2306.13649
 */
export const generalizedJensenShannon = ({ beta }: JensenShannonOptions): DistillationLoss => {
  if (!(beta >= 0 && beta <= 1)) throw new RangeError(`a weight of ${beta} is not in [0, 1]`)
  const ends = beta === 0 ? forwardDivergence() : reverseDivergence()
  const between = (teacher: Tensor2D, student: Tensor2D): Tensor1D => {
    const mixture = logMixture(teacher, student, beta)
    return tf.add(tf.mul(beta, divergence(teacher, mixture)), tf.mul(1 - beta, divergence(student, mixture)))
  }
  return { name: "jsd", options: { beta }, perToken: beta === 0 || beta === 1 ? ends.perToken : between }
}

/** log(β·eᵗ + (1−β)·eˢ), by the larger of the two. */
const logMixture = (teacher: Tensor2D, student: Tensor2D, beta: number): Tensor2D => {
  const [t, s] = [tf.add(teacher, Math.log(beta)), tf.add(student, Math.log(1 - beta))]
  const larger = tf.maximum(t, s)
  return tf.add<Tensor2D>(larger, tf.softplus(tf.neg(tf.abs(tf.sub(t, s)))))
}
