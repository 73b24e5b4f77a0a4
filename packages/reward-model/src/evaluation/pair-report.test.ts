import { assert, describe, it } from "@effect/vitest"
import { calibration } from "./calibration.ts"
import { pairReport } from "./pair-report.ts"

const logit = (p: number) => Math.log(p / (1 - p))

describe("pairReport", () => {
  it("counts strict wins, by subset too", () => {
    const report = pairReport([
      { chosen: 2, rejected: 1, subset: "a" },
      { chosen: 0, rejected: 0, subset: "b" },
      { chosen: -1, rejected: 1, subset: "a" },
      { chosen: 3, rejected: 0 }
    ])
    assert.strictEqual(report.accuracy, 0.5)
    assert.strictEqual(report.margin, 0.5)
    assert.strictEqual(report.ties, 1)
    // −ln σ of 1, 0, −2, 3
    assert.closeTo(report.loss, (0.3132617 + Math.LN2 + 2.126928 + 0.0485874) / 4, 1e-6)
    assert.deepStrictEqual(report.subsets, {
      a: { pairs: 2, accuracy: 0.5, ties: 0, margin: -0.5 },
      b: { pairs: 1, accuracy: 0, ties: 1, margin: 0 }
    })
    assert.deepStrictEqual(report.sections, {})
    assert.isTrue(Number.isFinite(pairReport([{ chosen: -1e5, rejected: 1e5 }]).loss))
  })

  it("gives RewardBench's sections where all their subsets are there, math as much as all code", () => {
    const won = (subset: string) => ({ chosen: 1, rejected: 0, subset })
    const lost = (subset: string) => ({ chosen: 0, rejected: 1, subset })
    const code = ["cpp", "go", "java", "js", "python", "rust"].map((name) => `hep-${name}`)
    const reasoning = [lost("math-prm"), lost("math-prm"), lost("math-prm"), ...code.map(won)]
    // three lost math pairs count what six won ones of code do
    assert.deepStrictEqual(pairReport(reasoning).sections, { Reasoning: 0.5 })
    assert.deepStrictEqual(pairReport(reasoning.slice(0, -1)).sections, {})
    const safety = ["refusals-dangerous", "refusals-offensive", "xstest-should-refuse", "xstest-should-respond"]
    const pairs = [
      ...safety.map(won),
      lost("donotanswer"),
      lost("donotanswer"),
      lost("donotanswer"),
      lost("donotanswer")
    ]
    assert.deepStrictEqual(pairReport(pairs).sections, { Safety: 0.5 })
  })
})

describe("calibration", () => {
  it("is 0 where confidence is how often it is right", () => {
    const gaps = [...Array.from({ length: 3 }, () => logit(0.75)), -logit(0.75)]
    const { bins, error } = calibration(gaps)
    assert.closeTo(error, 0, 1e-12)
    assert.strictEqual(bins.length, 1)
    assert.deepInclude(bins[0], { pairs: 4, accuracy: 0.75 })
  })

  it("is the gap between the two, weighed by pairs", () => {
    // 3 pairs at 0.9, all wrong; 1 pair at 0.6, right
    const { bins, error } = calibration([-logit(0.92), -logit(0.92), -logit(0.92), logit(0.62)])
    assert.closeTo(error, 0.75 * 0.92 + 0.25 * 0.38, 1e-9)
    assert.deepStrictEqual(
      bins.map(({ pairs }) => pairs),
      [1, 3]
    )
  })

  it("takes a tie for half right, and certainty into the last bin", () => {
    assert.closeTo(calibration([0]).error, 0, 1e-12)
    const { bins } = calibration([1e5, -1e5])
    assert.deepInclude(bins[0], { pairs: 2, confidence: 1, accuracy: 0.5, to: 1 })
  })
})
