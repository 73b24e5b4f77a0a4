import { type Advantage, byGroup, everyToken, totalRewards } from "./advantage.ts"

export interface LeaveOneOutOptions {
  /** Whether responses that did not end by themselves are left out of the others' baselines. */
  readonly endedOnly: boolean
  /** Whether the difference is divided by the deviation of the rewards the baseline is made of. */
  readonly scale: boolean
}

/**
 * A response against the mean of the others in its group:
 *
 *   A_i = R_i − Σ_{j≠i} m_j·R_j / (Σ_j m_j − 1)
 *
 * m is 1 where a response ended, or everywhere. As in NeMo-Aligner the divisor does not depend on m_i, and with fewer
 * than two that count the advantage is 0. Scaled, A is divided by sqrt(mean(R²) − b²) over the same rewards, unless
 * that is 0.
 *
 * @see Ahmadian et al. 2024, eq. 8, https://arxiv.org/abs/2402.14740
 */
export const leaveOneOut = ({ endedOnly, scale }: LeaveOneOutOptions): Advantage => ({
  name: "leave-one-out",
  options: { endedOnly, scale },
  leastGroup: 2,
  of: (responses) => {
    const rewards = totalRewards(responses)
    const counts = endedOnly ? responses.ended : responses.ended.map(() => 1)
    const advantages = byGroup(responses.groups, (rows) => {
      const valid = rows.reduce((sum, row) => sum + counts[row]!, 0)
      if (valid < 2) return rows.map(() => 0)
      const meanOfOthers = (row: number, of: (reward: number) => number) =>
        rows.reduce((sum, other) => sum + (other === row ? 0 : counts[other]! * of(rewards[other]!)), 0) / (valid - 1)
      return rows.map((row) => {
        const baseline = meanOfOthers(row, (reward) => reward)
        const variance = meanOfOthers(row, (reward) => reward ** 2) - baseline ** 2
        const divisor = scale && variance > 1e-12 ? Math.sqrt(variance) : 1
        return (rewards[row]! - baseline) / divisor
      })
    })
    return { tokens: everyToken(advantages, responses) }
  }
})
