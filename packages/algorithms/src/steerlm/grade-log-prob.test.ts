import { expect, it } from "vitest"
import { gradeLogProb } from "./grade-log-prob.ts"

const grades = [0, 1, 2, 3, 4]

it("is a normal distribution about the score, over the whole grades", () => {
  // score 3.2, σ 1: logits −5.12, −2.42, −0.72, −0.02, −0.32; log of their sum of odds 0.8276770
  const logProbs = grades.map((grade) => gradeLogProb(3.2, grade, { max: 4, spread: 1 }))
  const expected = [-5.947677, -3.247677, -1.547677, -0.847677, -1.147677]
  logProbs.forEach((value, a) => expect(value).toBeCloseTo(expected[a]!, 5))
  expect(logProbs.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 12)
})

it("is finite for scores far beyond the grades, and sharper the smaller σ is", () => {
  for (const score of [-1e4, 1e4]) {
    for (const grade of grades) {
      expect(Number.isFinite(gradeLogProb(score, grade, { max: 4, spread: 0.1 }))).toBe(true)
    }
  }
  const at = (spread: number) => gradeLogProb(2, 2, { max: 4, spread })
  expect(at(0.2)).toBeGreaterThan(at(0.5))
  expect(at(1e3)).toBeCloseTo(Math.log(1 / 5), 5)
})
