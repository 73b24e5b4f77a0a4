import { GenerationRefused, GenerationTimedOut } from "@plumbline/rollout-generation"
import { expect, it } from "vitest"
import { refusalOf } from "./failure.ts"

it("names the fields of a refused request as its client knows them", () => {
  const reason = "are all stop tokens, which minNewTokens forbids at first"
  expect(refusalOf({ maxRequestSeconds: 5 })(new GenerationRefused({ field: "allowedTokens", reason }))).toMatchObject({
    status: 400,
    param: "allowed_token_ids",
    reason: "allowed_token_ids: are all stop tokens, which min_tokens forbids at first"
  })
})

it("says how long a request may take, not what the queue had left of it", () => {
  const late = new GenerationTimedOut({ seconds: 0.031443127000000404, finished: [] })
  expect(refusalOf({ maxRequestSeconds: 5 })(late)).toMatchObject({
    status: 504,
    reason: "the answer was not finished within 5 s"
  })
})
