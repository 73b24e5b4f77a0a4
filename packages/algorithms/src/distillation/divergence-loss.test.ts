import { describe, expect, it } from "vitest"
import { gradientOnLogits, lossOfTables } from "../testing/distillation-case.ts"
import { expectClose, onWasm } from "../testing/preference-case.ts"
import {
  type DistillationLoss,
  forwardDivergence,
  generalizedJensenShannon,
  reverseDivergence,
  symmetricDivergence
} from "./divergence-loss.ts"

const student = [0.7, 0.2, 0.1]
const teacher = [0.5, 0.3, 0.2]

/** Σ p log(p/q), in float64. */
const kl = (p: ReadonlyArray<number>, q: ReadonlyArray<number>): number =>
  p.reduce((sum, x, i) => sum + x * Math.log(x / q[i]!), 0)

const all: ReadonlyArray<DistillationLoss> = [
  forwardDivergence(),
  reverseDivergence(),
  symmetricDivergence(),
  ...[0.1, 0.5, 0.9].map((beta) => generalizedJensenShannon({ beta }))
]

describe("divergences of teacher and student", () => {
  // float64 by the definition, and at 0.1 to 0.9 as published with the formula's test data
  onWasm("have the values of their definitions", () => {
    expectClose(lossOfTables(forwardDivergence(), [teacher], [student]), [0.0920328502], 1e-6)
    expectClose(lossOfTables(reverseDivergence(), [teacher], [student]), [0.085122826], 1e-6)
    expectClose(lossOfTables(symmetricDivergence(), [teacher], [student]), [(0.0920328502 + 0.085122826) / 2], 1e-6)
    const jsd = (beta: number) => lossOfTables(generalizedJensenShannon({ beta }), [teacher], [student])[0]!
    expectClose([0.1, 0.5, 0.9].map(jsd), [0.0081847558, 0.021901179, 0.0076946877], 1e-6)
  })

  onWasm("jump at both ends of the generalised Jensen-Shannon divergence", () => {
    const jsd = (beta: number) => lossOfTables(generalizedJensenShannon({ beta }), [teacher], [student])[0]!
    expectClose([jsd(0), jsd(1)], [kl(teacher, student), kl(student, teacher)], 1e-6)
    expect(jsd(1e-4)).toBeLessThan(1e-4)
    expect(jsd(1 - 1e-4)).toBeLessThan(1e-4)
  })

  it("refuse a weight outside [0, 1]", () => {
    expect(() => generalizedJensenShannon({ beta: 1.5 })).toThrow("not in [0, 1]")
  })

  for (const loss of all) {
    const name = `${loss.name} ${JSON.stringify(loss.options)}`
    onWasm(`${name} is 0, with no gradient, where both agree`, () => {
      expectClose(lossOfTables(loss, [teacher, student], [teacher, student]), [0, 0], 1e-6)
      expectClose(gradientOnLogits(loss, [teacher], [teacher.map(Math.log)]), [0, 0, 0], 1e-6)
    })

    onWasm(`${name} has the gradient of its value`, () => {
      const logits = [0.4, -1.1, 0.3]
      const at = (moved: ReadonlyArray<number>) => {
        const total = moved.reduce((sum, x) => sum + Math.exp(x), 0)
        return lossOfTables(loss, [teacher], [moved.map((x) => Math.exp(x) / total)])[0]!
      }
      const step = 2e-2
      const differences = logits.map((_, i) => {
        const by = (sign: number) => at(logits.map((x, j) => (i === j ? x + sign * step : x)))
        return (by(1) - by(-1)) / (2 * step)
      })
      expectClose(gradientOnLogits(loss, [teacher], [logits]), differences, 1e-3)
    })

    onWasm(`${name} is finite where teacher and student think opposite things impossible`, () => {
      const certain = [
        [0, -1e4, -1e4],
        [-1e4, 0, -1e4]
      ] as const
      const told = [[1 - 2e-7, 1e-7, 1e-7]]
      for (const logits of certain) {
        for (const value of gradientOnLogits(loss, told, [logits])) expect(Number.isFinite(value)).toBe(true)
      }
    })
  }

  onWasm("forward_kl pulls the student's logits by q − p", () => {
    const gradient = gradientOnLogits(forwardDivergence(), [teacher], [student.map(Math.log)])
    expectClose(
      gradient,
      student.map((q, i) => q - teacher[i]!),
      1e-6
    )
  })

  onWasm("reverse_kl pulls them by q·((log q − log p) − KL)", () => {
    const gradient = gradientOnLogits(reverseDivergence(), [teacher], [student.map(Math.log)])
    const total = kl(student, teacher)
    expectClose(
      gradient,
      student.map((q, i) => q * (Math.log(q / teacher[i]!) - total)),
      1e-6
    )
  })
})
