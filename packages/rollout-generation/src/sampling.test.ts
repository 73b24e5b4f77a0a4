import { philoxStream } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { sampleToken } from "./sampling.ts"

/** Logits of the distribution 0.5, 0.3, 0.2, shifted by a constant. */
const logits = Float32Array.from([0.5, 0.3, 0.2], (p) => Math.log(p) + 7)
const plain = { temperature: 1, topK: 0, topP: 1 }

/** Frequencies of 20,000 draws, and their χ² against expected probabilities. */
const chiSquare = (options: typeof plain, expected: ReadonlyArray<number>) => {
  const stream = philoxStream(3, "test")
  const draws = 20_000
  const counts = expected.map(() => 0)
  for (let i = 0; i < draws; i++) counts[sampleToken(logits, options, stream.uniform(i)).id]! += 1
  return expected.reduce((sum, p, id) => {
    if (p === 0) return sum + (counts[id] === 0 ? 0 : Infinity)
    return sum + (counts[id]! - p * draws) ** 2 / (p * draws)
  }, 0)
}

// 13.8 is the 99.9 % quantile of χ² with 2 degrees of freedom
const LIMIT = 13.8

describe("sampleToken", () => {
  it("draws from the softmax", () => expect(chiSquare(plain, [0.5, 0.3, 0.2])).toBeLessThan(LIMIT))

  it("sharpens with a temperature below 1", () => {
    // p² normalised: 0.25, 0.09, 0.04 over 0.38
    const expected = [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38]
    expect(chiSquare({ ...plain, temperature: 0.5 }, expected)).toBeLessThan(LIMIT)
  })

  it("keeps the k most likely", () => expect(chiSquare({ ...plain, topK: 2 }, [0.625, 0.375, 0])).toBeLessThan(LIMIT))

  it("keeps the smallest set that reaches p", () => {
    expect(chiSquare({ ...plain, topP: 0.6 }, [0.625, 0.375, 0])).toBeLessThan(LIMIT)
    expect(chiSquare({ ...plain, topP: 0.4 }, [1, 0, 0])).toBeLessThan(LIMIT)
  })

  it("takes the most likely token at temperature 0, whatever the draw", () => {
    expect(sampleToken(logits, { ...plain, temperature: 0 }, 0.999).id).toBe(0)
  })

  it("reports the log-prob under the policy itself, not under the filtered distribution", () => {
    const { logProb } = sampleToken(logits, { temperature: 0.3, topK: 1, topP: 0.1 }, 0.5)
    expect(logProb).toBeCloseTo(Math.log(0.5), 5)
  })

  it("never returns a token outside the vocabulary at the end of the unit interval", () => {
    expect(sampleToken(logits, plain, 1 - 2 ** -32).id).toBe(2)
  })
})
