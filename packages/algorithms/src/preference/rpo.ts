import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PairLogProbs, PreferenceLoss } from "./preference-loss.ts"

export interface RpoOptions {
  /** Strength of the pull toward the reference policy. */
  readonly beta: number
  /** η: implicit reward that one unit of graded reward is to be worth. */
  readonly rewardScale?: number
}

/** Distance of the implicit reward gap z = β·(chosen − rejected) from the graded one, g = η·(reward gap). */
type Distance = (implicit: Tensor1D, graded: Tensor1D) => Tensor1D

const rewardAware =
  (name: string, distance: Distance) =>
  ({ beta, rewardScale = 1 }: RpoOptions): PreferenceLoss => ({
    name,
    options: { beta, rewardScale },
    beta,
    needsRewards: true,
    perPair: ({ chosen, rejected, rewardGaps }: PairLogProbs) =>
      distance(tf.mul<Tensor1D>(beta, tf.sub(chosen, rejected)), tf.mul<Tensor1D>(rewardScale, rewardGaps))
  })

/** KL(Bernoulli(σ(p)) ‖ Bernoulli(σ(q))), elementwise. */
const bernoulliKl = (p: Tensor1D, q: Tensor1D): Tensor1D => {
  const side = (of: Tensor1D, to: Tensor1D) => tf.mul(tf.sigmoid(of), tf.sub(logSigmoid(of), logSigmoid(to)))
  return tf.add(side(p, q), side(tf.neg(p), tf.neg(q)))
}

/**
 * Reward-aware preference optimization, squared: the implicit reward gap is pulled to the graded one, and no further,
 * so that near-ties stay near-ties.
 *
 *   L = (z − g)²,   z = β·(chosen − rejected),   g = η·(reward(chosen) − reward(rejected))
 *
 * Its minimum is π ∝ π_ref·exp(η·reward/β). Needs graded rewards in the data.
 *
 * @see Adler et al. 2024 (Nemotron-4 340B), §3.3.2, https://arxiv.org/abs/2406.11704; Sun et al. 2025,
 *      https://arxiv.org/abs/2502.00203
 */
export const rpoSquared = rewardAware("rpo-sq", (implicit, graded) => tf.square(tf.sub<Tensor1D>(implicit, graded)))

/**
 * Reward-aware preference optimization, backward KL: from the graded preference to the model's.
 *
 *   L = KL(σ(g) ‖ σ(z)),   z and g as in `rpoSquared`
 *
 * Its gradient is that of DPO on soft labels σ(g). Needs graded rewards in the data.
 *
 * @see Adler et al. 2024 (Nemotron-4 340B), §3.3.2, https://arxiv.org/abs/2406.11704
 */
export const rpoBackwardKl = rewardAware("rpo-bwd-kl", (implicit, graded) => bernoulliKl(graded, implicit))

/**
 * Reward-aware preference optimization, forward KL: from the model's preference to the graded one.
 *
 *   L = KL(σ(z) ‖ σ(g)),   z and g as in `rpoSquared`
 *
 * The names forward and backward are NeMo-Aligner's. Needs graded rewards in the data.
 *
 * @see Adler et al. 2024 (Nemotron-4 340B), §3.3.2, https://arxiv.org/abs/2406.11704
 */
export const rpoForwardKl = rewardAware("rpo-fwd-kl", bernoulliKl)
