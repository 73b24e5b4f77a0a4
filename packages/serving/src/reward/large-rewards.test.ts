import { byteTokenizer } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { Effect, Exit } from "effect"
import { expect, it } from "vitest"
import { rewardRequest } from "./reward-request.ts"
import type { ServedReward } from "./served-reward.ts"

const ids = Effect.succeed(Int32Array.of(1, 2, 3))
const served = {
  id: "tiny-rm",
  aliases: [],
  created: 1,
  tokenizer: byteTokenizer({ specials: [] }),
  tokenizerThread: { prompt: () => ids, judged: () => ids, part: () => ids },
  model: { head: { attributes: ["good"] }, config: { vocabulary: 256 }, contextTokens: 96 } as unknown as ScalarModel,
  weights: { good: 1 }
} as unknown as ServedReward

const repeated = (count: number, value: unknown) => Array.from({ length: count }, () => value)

it.each([
  ["weights", false, { attribute_weights: Object.fromEntries(repeated(250_000, 1).map((one, i) => [`a${i}`, one])) }],
  ["rows", false, { input: undefined, rows: repeated(150_000, { text: "" }) }],
  ["texts", false, { input: repeated(600_000, "a") }],
  ["ids", true, { input: repeated(1_500_000, 1) }],
  [
    "a row's fields",
    true,
    {
      input: undefined,
      rows: [{ text: "a", fields: Object.fromEntries(repeated(200_000, 1).map((one, i) => [`a${i}`, one])) }]
    }
  ]
] as const)("reads %s of megabytes in about the time that it takes to write them down", (_, taken, fields) => {
  const since = performance.now()
  const parsed: unknown = JSON.parse(JSON.stringify({ input: "a", ...fields }))
  const written = performance.now() - since
  // at best: others work on the machine
  const times = [1, 2, 3].map(() => {
    const begun = performance.now()
    const read = Effect.runSyncExit(rewardRequest(served, parsed, 1024))
    expect(Exit.isSuccess(read)).toBe(taken)
    if (Exit.isFailure(read)) expect(String(read.cause).length).toBeLessThan(5000)
    return performance.now() - begun
  })
  // some times as long on a busy machine; with each compared to each it was minutes
  expect(Math.min(...times)).toBeLessThan(Math.max(150, 5 * written))
})
