/** Battles that every two are taken to have fought besides, won half each: who won all of its own keeps a finite score. */
const PRIOR = 0.1
const STEPS = 1000

/**
 * Elo scores of n players, in nats: those under which the battles are likeliest,
 *
 *   argmax_ε Σ_m,n B_mn·log σ(ε_m − ε_n),   mean ε = 0
 *
 * by minorization and maximization, which climbs at every step. Equal to a millionth of a nat is equal: players whose
 * battles say nothing all have 0.
 *
 * @param battles [n][n] B_mn ≥ 0: weight of the battles that m won against n
 * @see Wu et al. 2024, §2.2, https://arxiv.org/abs/2407.19594
 * @see Hunter 2004 (the algorithm), https://doi.org/10.1214/aos/1079120141
 */
export const eloScores = (battles: ReadonlyArray<ReadonlyArray<number>>): ReadonlyArray<number> => {
  const won = (m: number, n: number): number => (m === n ? 0 : battles[m]![n]! + PRIOR / 2)
  if (battles.length < 2) return battles.map(() => 0)
  let strengths = battles.map(() => 1)
  for (let step = 0; step < STEPS; step++) {
    const next = strengths.map((own, m) => {
      const wins = battles.reduce((sum, _, n) => sum + won(m, n), 0)
      const met = strengths.reduce((sum, other, n) => sum + (won(m, n) + won(n, m)) / (own + other), 0)
      return wins / met
    })
    const scale = Math.exp(mean(next.map(Math.log)))
    const moved = next.map((strength, m) => Math.abs(Math.log(strength / scale / strengths[m]!)))
    strengths = next.map((strength) => strength / scale)
    if (Math.max(...moved) < 1e-9) break
  }
  return strengths.map((strength) => Math.round(Math.log(strength) * 1e6) / 1e6 + 0)
}

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length
