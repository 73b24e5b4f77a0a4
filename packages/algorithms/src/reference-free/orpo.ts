import { logSigmoid } from "@plumbline/numerics"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { imitateChosenWithPrompt } from "./imitation.ts"
import type { PolicyLogProbs, ReferenceFreeLoss } from "./reference-free-loss.ts"

export interface OrpoOptions {
  /** λ of the paper: weight of the odds ratio beside the cross-entropy. */
  readonly beta: number
}

/**
 * Odds ratio preference optimization: imitation with a push between the odds of both responses.
 *
 *   L = NLL(prompt and chosen) − β·log σ(o),   o = log odds(chosen) − log odds(rejected)
 *   log odds(y) = l − log(1 − e^l),   l the mean log-prob of the response's tokens
 *
 * Deviation from the paper, as in TRL: the cross-entropy counts the prompt's tokens, too.
 *
 * @see Hong et al. 2024, eq. 6 and 7, https://arxiv.org/abs/2403.07691
 */
export const orpo = ({ beta }: OrpoOptions): ReferenceFreeLoss => ({
  name: "orpo",
  options: { beta },
  lengthNormalized: true,
  reward: (logProbs) => tf.mul<Tensor1D>(beta, logProbs),
  perPair: (pairs) => tf.mul<Tensor1D>(-beta, logSigmoid(logOddsRatio(pairs))),
  imitation: imitateChosenWithPrompt("orpo", 1),
  metrics: (pairs) => {
    const logOdds = logOddsRatio(pairs)
    return { log_odds_ratio: logSigmoid(logOdds), log_odds_chosen: logOdds }
  }
})

const logOddsRatio = ({ chosen, rejected }: PolicyLogProbs): Tensor1D =>
  tf.sub(tf.sub(chosen, rejected), tf.sub(log1mExp(chosen), log1mExp(rejected)))

/** Nearest to 0 that a mean log-prob may come: beyond it 1 − e^l is 0 in float32. */
const CERTAIN = -1e-7

/** log(1 − e^l) for l < 0. */
const log1mExp = (logProbs: Tensor1D): Tensor1D => tf.log(tf.neg(tf.expm1(tf.minimum(logProbs, CERTAIN))))
