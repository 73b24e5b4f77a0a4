/** How probably a response is preferred to its opponent's, from the rewards of both. */
export interface DuelPreference {
  readonly name: string
  /** P(own ≻ other) in [0, 1] */
  readonly of: (own: number, other: number) => number
}

/** The better response is preferred for sure; equally good ones are, each, half of the time. */
export const better: DuelPreference = {
  name: "better",
  of: (own, other) => (own === other ? 0.5 : Number(own > other))
}

/** Bradley and Terry's: σ(own − other), of a reward in nats. */
export const bradleyTerry: DuelPreference = {
  name: "bradley_terry",
  of: (own, other) => 1 / (1 + Math.exp(other - own))
}

/** The reward itself, of a judge that compares the two (`pairwiseJudge`): the share of comparisons that are won. */
export const shareWon: DuelPreference = { name: "share_won", of: (own) => own }
