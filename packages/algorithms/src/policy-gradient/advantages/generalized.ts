import type { Advantage } from "./advantage.ts"
import { rewardsByToken } from "./token-rewards.ts"
import { whiten } from "./whiten.ts"

export interface GeneralizedAdvantageOptions {
  /** γ, what a reward one token later is worth; 1 is usual. */
  readonly discount: number
  /** λ in [0, 1]: 0 trusts the critic from the next token on, 1 trusts only rewards. */
  readonly gaeLambda: number
  /** Whether advantages get mean 0 and variance 1 over the tokens of the rollout. */
  readonly whiten: boolean
}

/**
 * Generalized advantage estimation over the tokens that the policy wrote:
 *
 *   δ_t = r_t + γ·V_{t+1} − V_t,   A_t = δ_t + γλ·A_{t+1},   return_t = A_t + V_t
 *
 * t + 1 is the next counted token: values pass over what tools wrote, instead of falling to 0 there. V is 0 after the
 * last token.
 *
 * @see Schulman et al. 2015, eq. 11–16, https://arxiv.org/abs/1506.02438
 */
export const generalizedAdvantage = (options: GeneralizedAdvantageOptions): Advantage => ({
  name: "generalized",
  options,
  needs: "values",
  of: (responses) => {
    const { masks, values } = responses
    if (values === undefined) throw new TypeError("generalized advantages need the critic's values")
    const rewards = rewardsByToken(responses)
    const raw = rewards.map((own, r) => oneRow(own, values[r]!, masks[r]!, options))
    const returns = raw.map((own, r) =>
      own.map((advantage, t) => (masks[r]![t] === 1 ? advantage + values[r]![t]! : 0))
    )
    const tokens = options.whiten ? whiten(raw, masks, { variance: "population", center: true }) : raw
    return { tokens, returns }
  }
})

const oneRow = (
  rewards: Float64Array,
  values: ArrayLike<number>,
  mask: Uint8Array,
  { discount, gaeLambda }: GeneralizedAdvantageOptions
): Float64Array => {
  const advantages = new Float64Array(rewards.length)
  let [nextValue, nextAdvantage] = [0, 0]
  for (let t = rewards.length - 1; t >= 0; t--) {
    if (mask[t] !== 1) continue
    const surprise = rewards[t]! + discount * nextValue - values[t]!
    nextAdvantage = surprise + discount * gaeLambda * nextAdvantage
    nextValue = values[t]!
    advantages[t] = nextAdvantage
  }
  return advantages
}
