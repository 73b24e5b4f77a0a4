import { describe, expect, it } from "vitest"
import { row } from "../testing/small-models.ts"
import { bestAndWorst, lengthControlled } from "./choose-pair.ts"
import type { JudgedSample } from "../responses/judged-responses.ts"
import { lastAnswer } from "../supervised/last-answer.ts"

const samples = (...judged: ReadonlyArray<readonly [reward: number | undefined, length: number]>) =>
  judged.map(([reward, length], sample) => ({
    reward,
    response: { sample, responseIds: new Int32Array(length) }
  })) as unknown as ReadonlyArray<JudgedSample>

const chosen = (choose: typeof bestAndWorst, of: ReadonlyArray<JudgedSample>) => {
  const pair = choose(of)
  return pair && [pair.chosen.response.sample, pair.rejected.response.sample]
}

describe("a pair of judged responses", () => {
  it("is the best and the worst, the first of equals, without those that nobody judged", () => {
    expect(chosen(bestAndWorst, samples([1, 4], [3, 9], [undefined, 1], [3, 2], [1, 8]))).toEqual([1, 0])
  })

  it("is none where no response is better than another", () => {
    expect(chosen(bestAndWorst, samples([2, 4], [2, 9]))).toBeUndefined()
    expect(chosen(bestAndWorst, samples([2, 4], [undefined, 9]))).toBeUndefined()
    expect(chosen(bestAndWorst, [])).toBeUndefined()
  })

  it("with length control is the shortest of the good and the longest of the bad ones", () => {
    // rewards 1 to 5: at ρ = ¼ good is ≥ 4, bad is ≤ 2
    const of = samples([5, 9], [4, 5], [3.9, 1], [2.1, 20], [2, 12], [1, 7])
    expect(chosen(lengthControlled(0.25), of)).toEqual([1, 4])
    expect(chosen(lengthControlled(0), of)).toEqual([0, 5])
  })
})

describe("the last answer of a row", () => {
  it("is its last run of scored tokens; what follows them is cut off", () => {
    const mask = Uint8Array.of(0, 1, 1, 0, 0, 1, 1, 1, 0)
    const { answer, prompt } = lastAnswer({ ids: Int32Array.from(mask, (_, i) => i), lossMask: mask })
    expect([...prompt]).toEqual([0, 1, 2, 3, 4])
    expect([...answer.ids]).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect([...answer.lossMask]).toEqual([0, 0, 0, 0, 0, 1, 1, 1])
  })

  it("is everything after the first token of a text", () => {
    const { answer, prompt } = lastAnswer(row([7, 8, 9], 1))
    expect([[...prompt], [...answer.lossMask]]).toEqual([[7], [0, 1, 1]])
  })
})
