import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import type { PairScores, PairwiseLoss } from "./pairwise-loss.ts"

export interface BradleyTerryOptions {
  /** c of c·(r_c + r_r)², which keeps scores around 0; 0 when absent. @see Eisenstein et al. 2023, https://arxiv.org/abs/2312.09244 */
  readonly centring?: number
}

/**
 * The chance that the chosen response wins, with the margin that the data give a pair:
 *
 *   L = −log σ(r_c − r_r − m) + c·(r_c + r_r)²
 *
 * Equal scores without a margin cost ln 2.
 *
 * @see Bradley & Terry 1952; Touvron et al. 2023, eq. 2 (margin), https://arxiv.org/abs/2307.09288
 */
export const bradleyTerry = ({ centring = 0 }: BradleyTerryOptions = {}): PairwiseLoss => ({
  name: "bradley_terry",
  options: { centring },
  perPair: (scores) => centred(tf.neg(logSigmoid(tf.sub(gap(scores), scores.margins))), scores, centring)
})

/** The same, whose margin is the strength of the preference: −log σ(Δ − |s|). @see Wang et al. 2024, https://arxiv.org/abs/2410.01257 */
export const marginBradleyTerry = ({ centring = 0 }: BradleyTerryOptions = {}): PairwiseLoss => ({
  name: "margin_bt",
  options: { centring },
  needsStrengths: true,
  perPair: (scores) => centred(tf.neg(logSigmoid(tf.sub(gap(scores), scores.strengths))), scores, centring)
})

/** Pairs weigh what their preference is strong: −|s|·log σ(Δ). @see Wang et al. 2024, https://arxiv.org/abs/2410.01257 */
export const scaledBradleyTerry = ({ centring = 0 }: BradleyTerryOptions = {}): PairwiseLoss => ({
  name: "scaled_bt",
  options: { centring },
  needsStrengths: true,
  perPair: (scores) => centred(tf.mul(scores.strengths, tf.neg(logSigmoid(gap(scores)))), scores, centring)
})

const gap = ({ chosen, rejected }: PairScores): Tensor1D => tf.sub(chosen, rejected)

const centred = (losses: Tensor1D, { chosen, rejected }: PairScores, centring: number): Tensor1D =>
  centring === 0 ? losses : tf.add(losses, tf.mul(centring, tf.square(tf.add(chosen, rejected))))
