import { describe, expect, it } from "vitest"
import { type RankedRows, topLogProbs } from "../ops/top-log-probs.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { leavesNothing, noise } from "./tensors.ts"

const ranked = (logits: Tensor2D, rows: ReadonlyArray<number>, targets: ReadonlyArray<number>, count: number) => {
  const what: RankedRows = { rows: Int32Array.from(rows), targets: Int32Array.from(targets), count }
  const { ids, logProbs, targetLogProbs } = topLogProbs(logits, what)
  const lines = (tensor: Tensor2D) => tensor.arraySync() as ReadonlyArray<ReadonlyArray<number>>
  return { ids: lines(ids), logProbs: lines(logProbs), targets: [...targetLogProbs.dataSync()] }
}

/** What the definition says, by sorting. */
const sorted = (logits: Tensor2D, rows: ReadonlyArray<number>, targets: ReadonlyArray<number>, count: number) => {
  const values = logits.arraySync()
  const made = rows.map((row, i) => {
    const own = values[row]!
    const order = own.map((_, id) => id).toSorted((a, b) => own[b]! - own[a]! || a - b)
    const top = own[order[0]!]!
    const normalizer = top + Math.log(own.reduce((sum, logit) => sum + Math.exp(logit - top), 0))
    const ids = order.slice(0, count)
    return { ids, logProbs: ids.map((id) => own[id]! - normalizer), target: own[targets[i]!]! - normalizer }
  })
  return {
    ids: made.map(({ ids }) => ids),
    logProbs: made.map(({ logProbs }) => logProbs),
    targets: made.map(({ target }) => target)
  }
}

const expectEqual = (found: ReturnType<typeof ranked>, expected: ReturnType<typeof sorted>): void => {
  expect(found.ids).toEqual(expected.ids)
  const all = [...found.logProbs, found.targets].flat()
  const wanted = [...expected.logProbs, expected.targets].flat()
  expect(all.length).toBe(wanted.length)
  all.forEach((logProb, i) => expect(Math.abs(logProb - wanted[i]!)).toBeLessThanOrEqual(1e-5))
}

export const rankingSuite = (): void => {
  describe("topLogProbs", () => {
    it("ranks by logit, equal ones by id, and says how likely a token of any rank is", () => {
      leavesNothing(() => {
        // weights 1, 4, 1, 2, 4 of 12, and 3 of equal ones
        const logits = tf.tensor2d([[1, 4, 1, 2, 4].map(Math.log), [7, 7, 7, -Infinity, -Infinity]])
        const { ids, logProbs, targets } = ranked(logits, [0, 1], [2, 1], 4)
        expect(ids).toEqual([
          [1, 4, 3, 0],
          [0, 1, 2, 3]
        ])
        const expected = [4 / 12, 4 / 12, 2 / 12, 1 / 12, 1 / 3, 1 / 3, 1 / 3].map(Math.log)
        logProbs.flat().forEach((logProb, i) => expect(logProb).toBeCloseTo(expected[i] ?? -Infinity, 5))
        expect(targets[0]).toBeCloseTo(Math.log(1 / 12), 5)
        expect(targets[1]).toBeCloseTo(Math.log(1 / 3), 5)
      })
    })

    // many logits are equal, among the ranked ones, at their border and beyond
    it.each([1, 2, 7, 20, 100])("takes %i of a large vocabulary with equal logits everywhere", (count) => {
      leavesNothing(() => {
        const logits = tf.div(tf.round(tf.mul(noise<Tensor2D>([5, 7001], "ranked"), 6)), 4) as Tensor2D
        const [rows, targets] = [
          [3, 0, 0, 4],
          [17, 7000, 0, 256]
        ] as const
        expectEqual(ranked(logits, rows, targets, count), sorted(logits, rows, targets, count))
      })
    })

    it("takes the first of a constant row, and all where there are no more", () => {
      const constant = tf.sub(tf.zeros([3, 901]), 2.5) as Tensor2D
      expectEqual(ranked(constant, [0, 1, 2], [5, 6, 7], 30), sorted(constant, [0, 1, 2], [5, 6, 7], 30))
      const few = noise<Tensor2D>([2, 11], "few")
      expectEqual(ranked(few, [1], [3], 100), sorted(few, [1], [3], 100))
    })

    it("does not tell −0 from 0", () => {
      expect(ranked(tf.tensor2d([[-1, 0, -0, 0, 3, -0]]), [0], [0], 4).ids).toEqual([[4, 1, 2, 3]])
    })
  })
}
