import { describe, expect, it } from "vitest"
import { eloScores } from "./elo.ts"

describe("Elo scores", () => {
  it("of two players are half the log odds each, with half a twentieth of a battle besides", () => {
    // ln((3 + 0.05)/(1 + 0.05)) = 1.0663514
    const [first, second] = eloScores([
      [0, 3],
      [1, 0]
    ])
    expect(first! - second!).toBeCloseTo(1.0663514, 5)
    expect(first! + second!).toBeCloseTo(0, 5)
  })

  it("make the battles likeliest: no score can be moved for the better", () => {
    const battles = [
      [0, 2, 0.5, 1],
      [1, 0, 1.5, 0],
      [0.5, 0.25, 0, 3],
      [0, 1, 0.2, 0]
    ]
    const likelihood = (scores: ReadonlyArray<number>) =>
      battles
        .flatMap((line, m) =>
          line.map((won, n) => (m === n ? 0 : -(won + 0.05) * Math.log1p(Math.exp(scores[n]! - scores[m]!))))
        )
        .reduce((sum, value) => sum + value, 0)
    const scores = eloScores(battles)
    const best = likelihood(scores)
    for (const m of [0, 1, 2, 3]) {
      for (const by of [0.01, -0.01]) {
        expect(likelihood(scores.map((score, i) => (i === m ? score + by : score)))).toBeLessThan(best)
      }
    }
  })

  it("are finite where one wins everything, and 0 where nothing is said or everything goes round", () => {
    const [first, second, third] = eloScores([
      [0, 4, 4],
      [0, 0, 4],
      [0, 0, 0]
    ])
    expect(Number.isFinite(first) && first! > second! && second! > third!).toBe(true)
    const nothing = [0, 1, 2].map(() => [0, 0, 0])
    expect(eloScores(nothing)).toEqual([0, 0, 0])
    const round = [
      [0, 1, 0],
      [0, 0, 1],
      [1, 0, 0]
    ]
    expect(eloScores(round)).toEqual([0, 0, 0])
    expect(eloScores([[0]])).toEqual([0])
  })
})
