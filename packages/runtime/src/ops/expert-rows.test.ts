import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { float32Backends } from "../testing/backends.ts"
import { tf } from "../tf.ts"
import { chooseExperts, hostExpertRows, sharesOfAll } from "./expert-rows.ts"

describe.for(float32Backends)("experts of tokens on $name", ({ isThere, layer }) => {
  const check = (name: string, body: () => void) =>
    it.effect.skipIf(!isThere)(name, () =>
      Effect.provide(
        Effect.sync(() => void tf.tidy(body)),
        layer
      )
    )

  const probabilities = () => tf.tensor2d([0.1, 0.4, 0.2, 0.3, 0.25, 0.25, 0.25, 0.25], [2, 4])

  check("are the likeliest, the first of equally likely ones, in ascending order", () => {
    const { chosen, shares } = chooseExperts(probabilities(), 2, false)
    expect([...chosen.dataSync()]).toEqual([1, 3, 0, 1])
    expect([...shares.dataSync()].map((share) => share.toFixed(6))).toEqual([
      "0.400000",
      "0.300000",
      "0.250000",
      "0.250000"
    ])
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
    // token 0 goes to 0 and 2, token 1 to 0 and 2, token 2 to 2 and 3
    const { groups, hostOrder, rowTokens } = hostExpertRows(tf.tensor2d([0, 2, 0, 2, 2, 3], [3, 2], "int32"), 4)
    expect([...hostOrder]).toEqual([0, 2, 1, 3, 4, 5])
    expect([...rowTokens]).toEqual([0, 1, 0, 1, 2, 2])
    expect(groups.counts).toEqual([2, 0, 3, 1])
  })
})
