import { describe, expect, it } from "vitest"
import { philoxStream } from "../random.ts"
import { DRAW_WIDTH, sampleTokens, type SamplingRows } from "../ops/sample-tokens.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { leavesNothing, noise } from "./tensors.ts"

interface Numbers {
  readonly uniform?: number
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  /** id, penalty, addend */
  readonly edits?: ReadonlyArray<readonly [id: number, penalty: number, addend: number]>
  readonly allowed?: ReadonlyArray<number>
}

const samplingRows = (rows: ReadonlyArray<Numbers>): SamplingRows => {
  const startsOf = (lists: ReadonlyArray<ReadonlyArray<unknown>>) => {
    const starts = new Int32Array(lists.length + 1)
    lists.forEach((list, i) => (starts[i + 1] = starts[i]! + list.length))
    return starts
  }
  const draws = Float32Array.from(
    rows.flatMap(({ minP = 0, temperature = 1, topK = 0, topP = 1, uniform = 0 }) => [
      uniform,
      temperature,
      topK,
      topP,
      minP
    ])
  )
  const edits = rows.map((row) => row.edits ?? [])
  const allowed = rows.map((row) => row.allowed ?? [])
  return {
    draws,
    edits: {
      starts: startsOf(edits),
      ids: Int32Array.from(edits.flat(), ([id]) => id),
      values: Float32Array.from(edits.flat().flatMap(([, penalty, addend]) => [penalty, addend]))
    },
    allowed: { starts: startsOf(allowed), ids: Int32Array.from(allowed.flat()) }
  }
}

const sampled = (logits: Tensor2D, rows: ReadonlyArray<Numbers>) => {
  const { ids, policyLogProbs, samplingLogProbs } = sampleTokens(logits, samplingRows(rows))
  return {
    ids: [...ids.dataSync()],
    sampling: [...samplingLogProbs.dataSync()],
    policy: [...policyLogProbs.dataSync()]
  }
}

const DRAWS = 4000

// The policy is (0.5, 0.3, 0.2), its logits ln p + 2: 1.3069, 0.7960, 0.3906. Expected probabilities by hand:
// penalty 2 on token 0 halves its positive logit to 0.65343; +ln 2 doubles a weight; softmax then as stated.
const SHIFT = 2
const logits3 = [0.5, 0.3, 0.2].map((p) => Math.log(p) + SHIFT)
const penalised = [Math.exp((Math.log(0.5) + SHIFT) / 2), 0.3 * Math.exp(SHIFT), 0.2 * Math.exp(SHIFT)]
const normalised = (weights: ReadonlyArray<number>) => weights.map((w) => w / weights.reduce((sum, x) => sum + x, 0))

const distributions: ReadonlyArray<readonly [string, Numbers, ReadonlyArray<number>]> = [
  ["nothing", {}, [0.5, 0.3, 0.2]],
  // p² over 0.38
  ["a temperature of 1/2", { temperature: 0.5 }, [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38]],
  ["the 2 most likely", { topK: 2 }, [0.625, 0.375, 0]],
  ["a mass of 0.6", { topP: 0.6 }, [0.625, 0.375, 0]],
  ["a mass that two tokens reach exactly", { topP: 0.8 }, [0.625, 0.375, 0]],
  ["a mass below the first", { topP: 0.4 }, [1, 0, 0]],
  // top-k leaves (0.625, 0.375), of which the first reaches 0.6
  ["a mass of what top-k left", { topK: 2, topP: 0.6 }, [1, 0, 0]],
  ["at least half the likeliest", { minP: 0.5 }, [0.625, 0.375, 0]],
  ["at least 0.6 of the likeliest, exactly", { minP: 0.6 }, [0.625, 0.375, 0]],
  ["a penalty on a positive logit", { edits: [[0, 2, 0]] }, normalised(penalised)],
  [
    "a bias of ln 2 and a ban",
    {
      edits: [
        [1, 1, Math.LN2],
        [0, 1, -Infinity]
      ]
    },
    [0, 0.75, 0.25]
  ],
  ["two allowed tokens", { allowed: [2, 0] }, [5 / 7, 0, 2 / 7]],
  // the bias makes (0.5, 0.3, 0.8); allowed are 1 and 2; squared: 0.09, 0.64; the mass 0.8 needs token 2 alone
  ["all together", { edits: [[2, 1, Math.log(4)]], allowed: [1, 2], temperature: 0.5, topP: 0.8 }, [0, 0, 1]]
]

/** 13.8 and 10.8 are the 99.9 % quantiles of χ² with 2 and 1 degrees of freedom. */
const limits = [0, 10.8, 13.8]

const chiSquare = (ids: ReadonlyArray<number>, expected: ReadonlyArray<number>): number =>
  expected.reduce((sum, p, id) => {
    const count = ids.filter((drawn) => drawn === id).length
    if (p === 0) return sum + (count === 0 ? 0 : Infinity)
    return sum + (count - p * ids.length) ** 2 / (p * ids.length)
  }, 0)

export const samplingSuite = (): void => {
  describe("sampleTokens", () => {
    it.each(distributions)(
      "draws with %s as often as it should, and says how likely that was",
      (title, numbers, expected) => {
        const stream = philoxStream(5, title)
        const rows = Array.from({ length: DRAWS }, (_, i) => ({
          ...numbers,
          uniform: Math.floor(stream.uniform(i) * 2 ** 24) / 2 ** 24
        }))
        leavesNothing(() => {
          const { ids, policy, sampling } = sampled(tf.tile(tf.tensor2d([logits3]), [DRAWS, 1]), rows)
          expect(chiSquare(ids, expected)).toBeLessThanOrEqual(limits[expected.filter((p) => p > 0).length - 1]!)
          ids.forEach((id, i) => {
            expect(sampling[i]).toBeCloseTo(Math.log(expected[id]!), 5)
            expect(policy[i]).toBeCloseTo(Math.log([0.5, 0.3, 0.2][id]!), 5)
          })
        })
      }
    )

    it("multiplies a negative logit by the penalty", () => {
      // logits −1 and −2 of two tokens, the first penalised by 3: −3 and −2, so the greedy choice changes
      const { ids, policy } = sampled(tf.tensor2d([[-1, -2]]), [{ temperature: 0, edits: [[0, 3, 0]] }])
      expect(ids).toEqual([1])
      expect(policy[0]).toBeCloseTo(-Math.log(1 + Math.E), 6)
    })

    it("takes the most likely token at temperature 0, the lower id of equal ones, with certainty", () => {
      const { ids, policy, sampling } = sampled(tf.tensor2d([[1, 4, 4, 2]]), [{ temperature: 0, uniform: 0.99 }])
      expect([ids, sampling]).toEqual([[1], [0]])
      // 4 − ln(e + 2e⁴ + e²)
      expect(policy[0]).toBeCloseTo(4 - Math.log(Math.E + 2 * Math.exp(4) + Math.exp(2)), 5)
    })

    it("keeps the lower ids of equal tokens at the border of top-k", () => {
      const logits = tf.tile(tf.tensor2d([[0, 1, 0, 0]]), [2, 1])
      const { ids, sampling } = sampled(logits, [
        { topK: 2, uniform: 0 },
        { topK: 2, uniform: 0.999 }
      ])
      expect(ids).toEqual([0, 1])
      expect(sampling[1]).toBeCloseTo(1 - Math.log(1 + Math.E), 6)
    })

    it("stays inside the vocabulary and the filters at both ends of the unit interval", () => {
      const ends = [0, 1 - 2 ** -24]
      const logits = tf.tile(tf.tensor2d([logits3]), [4, 1])
      const rows = [...ends.map((uniform) => ({ uniform })), ...ends.map((uniform) => ({ uniform, allowed: [1] }))]
      expect(sampled(logits, rows).ids).toEqual([0, 2, 1, 1])
    })

    it("marks rows that nothing can be drawn from, and no others", () => {
      const logits = tf.tensor2d([
        [0, NaN, 1],
        [0, 1, 2],
        [0, Infinity, 1],
        [0, 1, 2]
      ])
      const forbidden = [0, 1, 2].map((id) => [id, 1, -Infinity] as const)
      const { ids } = sampled(logits, [{}, {}, {}, { edits: forbidden }])
      expect(ids).toEqual([-1, 0, -1, -1])
    })

    it("draws a row of a large vocabulary alike whatever rows are beside it", () => {
      const vocabulary = 5003
      leavesNothing(() => {
        const logits = tf.mul(noise<Tensor2D>([6, vocabulary], "logits"), 3) as Tensor2D
        const rows: ReadonlyArray<Numbers> = [
          { uniform: 0.31 },
          { uniform: 0.77, topK: 40, temperature: 0.7 },
          { uniform: 0.5, topP: 0.9 },
          { uniform: 0.12, minP: 0.05, temperature: 1.5 },
          { uniform: 0.9, topK: 500, topP: 0.95, minP: 0.01, edits: [[17, 1, 5]] },
          { uniform: 0.66, allowed: [5, 4001, 77] }
        ]
        const together = sampled(logits, rows)
        rows.forEach((row, i) => {
          const alone = sampled(tf.slice(logits, [i, 0], [1, -1]), [row])
          expect([together.ids[i], together.sampling[i], together.policy[i]]).toEqual([
            alone.ids[0],
            alone.sampling[0],
            alone.policy[0]
          ])
        })
        expect(together.ids).toEqual(sortedDraws(logits, rows))
      })
    })
  })

  it("has rows of draws as wide as its kernels read them", () => expect(DRAW_WIDTH).toBe(5))
}

/** What the definition says, by sorting: the first id whose running sum of kept probabilities exceeds the uniform. */
const sortedDraws = (logits: Tensor2D, rows: ReadonlyArray<Numbers>): ReadonlyArray<number> => {
  const values = logits.arraySync()
  return rows.map(({ allowed, edits = [], minP = 0, temperature = 1, topK = 0, topP = 1, uniform = 0 }, row) => {
    const shaped = values[row]!.map((logit, id) => {
      const edit = edits.find(([edited]) => edited === id)
      return (allowed === undefined || allowed.includes(id) ? logit : -Infinity) + (edit?.[2] ?? 0)
    })
    const top = Math.max(...shaped)
    const weights = shaped.map((logit) => Math.exp((logit - top) / temperature))
    let ids = weights.map((_, id) => id).toSorted((a, b) => weights[b]! - weights[a]! || a - b)
    if (topK > 0) ids = ids.slice(0, topK)
    const sumOf = (some: ReadonlyArray<number>) => some.reduce((sum, id) => sum + weights[id]!, 0)
    const need = topP * sumOf(ids)
    ids = ids.filter((_, rank) => sumOf(ids.slice(0, rank)) < need || rank === 0)
    ids = ids.filter((id) => weights[id]! >= minP).toSorted((a, b) => a - b)
    const total = sumOf(ids)
    return ids.find((_, i) => sumOf(ids.slice(0, i + 1)) > uniform * total)!
  })
}
