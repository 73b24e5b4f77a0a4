import { describe, expect, it } from "vitest"
import { chooseExperts, expertRows, hostExpertRows, sharesOfAll } from "../ops/expert-rows.ts"
import { tf } from "../tf.ts"
import { leavesNothing } from "./tensors.ts"

const probabilities = () => tf.tensor2d([0.1, 0.4, 0.2, 0.3, 0.25, 0.25, 0.25, 0.25], [2, 4])

/** Which experts tokens go to, and in what order their rows lie. */
export const routingSuite = () =>
  describe("experts of tokens", () => {
    const check = (title: string, body: () => void) => it(title, () => leavesNothing(body))

    check("are the likeliest, the first of equally likely ones, in ascending order", () => {
      const { chosen, shares } = chooseExperts(probabilities(), 2, false)
      expect([...chosen.dataSync()]).toEqual([1, 3, 0, 1])
      expect([...shares.dataSync()]).toEqual([...Float32Array.of(0.4, 0.3, 0.25, 0.25)])
    })

    check("have shares that add up to 1 where they are renormalised", () => {
      const { shares } = chooseExperts(probabilities(), 3, true)
      const expected = [4 / 9, 2 / 9, 3 / 9, 1 / 3, 1 / 3, 1 / 3]
      shares.dataSync().forEach((share, i) => expect(share).toBeCloseTo(expected[i]!, 6))
    })

    check("count for their share among all, and others for nothing", () => {
      const choice = chooseExperts(probabilities(), 1, true)
      expect([...sharesOfAll(choice, 4).dataSync()]).toEqual([0, 1, 0, 0, 1, 0, 0, 0])
    })

    check("have their tokens' rows side by side, in the order of tokens", () => {
      const chosen = tf.tensor2d([0, 2, 3, 0, 1, 2], [2, 3], "int32")
      const { groups, hostOrder, rowTokens } = hostExpertRows(chosen, 5)
      expect([...hostOrder]).toEqual([0, 3, 4, 1, 5, 2])
      expect([...rowTokens]).toEqual([0, 1, 1, 0, 1, 0])
      expect(groups.counts).toEqual([2, 1, 2, 1, 0])
      const rows = expertRows(chosen, 5)
      if ("hostOrder" in rows) {
        expect(rows).toEqual(hostExpertRows(chosen, 5))
        return
      }
      expect([...rows.order.dataSync()]).toEqual([0, 3, 4, 1, 5, 2])
      expect([...rows.places.dataSync()]).toEqual([0, 3, 5, 1, 2, 4])
      expect([...rows.groups.ends.dataSync()]).toEqual([2, 3, 5, 6, 6])
    })
  })
