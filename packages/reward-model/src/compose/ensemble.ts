import { Effect } from "effect"
import { judgement, type RewardShape } from "../reward-shape.ts"

/** How the rewards of several models become one. */
export type EnsembleReduction = (rewards: ReadonlyArray<number>) => number

export const meanOf: EnsembleReduction = (rewards) => rewards.reduce((sum, reward) => sum + reward, 0) / rewards.length

/** The most doubtful model decides. @see Coste et al. 2023, https://arxiv.org/abs/2310.02743 */
export const worstOf: EnsembleReduction = (rewards) => Math.min(...rewards)

/** mean − λ·variance: what the models do not agree on counts less. @see Coste et al. 2023, eq. 4 */
export const uncertaintyWeighted =
  (lambda: number): EnsembleReduction =>
  (rewards) => {
    const mean = meanOf(rewards)
    return mean - lambda * meanOf(rewards.map((reward) => (reward - mean) ** 2))
  }

export interface EnsembleOptions {
  /** "ensemble" when absent. */
  readonly name?: string
  readonly weight?: number
  /** `meanOf` when absent. */
  readonly reduce?: EnsembleReduction
  /** Members that must have a reward for the others to count: fewer, and it abstains. All of them when absent. */
  readonly quorum?: number
}

/** Several rewards of the same kind as one part. */
export const ensemble = (
  members: ReadonlyArray<RewardShape>,
  { name = "ensemble", quorum = members.length, reduce = meanOf, weight = 1 }: EnsembleOptions = {}
): RewardShape => {
  if (members.length === 0) throw new RangeError("an ensemble has at least one member")
  if (!(quorum >= 1 && quorum <= members.length)) {
    throw new RangeError(`a quorum of ${quorum} in an ensemble of ${members.length}`)
  }
  return {
    parts: [{ name, weight }],
    judge: (groups) =>
      Effect.map(
        Effect.forEach(members, ({ judge }) => judge(groups), { concurrency: "unbounded" }),
        (judged) =>
          groups.map(({ responses }, g) => ({
            responses: responses.map((_, r) => {
              const rewards = judged.map((member) => member[g]!.responses[r]!.reward)
              const said = rewards.filter((reward) => reward !== undefined)
              const value = said.length >= quorum ? reduce(said) : undefined
              return judgement([{ name, weight, raw: value, value }])
            })
          }))
      )
  }
}
