import { GenerationRefused } from "@plumbline/rollout-generation"
import { expect, it } from "vitest"
import { refusalOf } from "./failure.ts"

it("names the fields of a refused request as its client knows them", () => {
  const reason = "are all stop tokens, which minNewTokens forbids at first"
  expect(refusalOf(new GenerationRefused({ field: "allowedTokens", reason }))).toMatchObject({
    status: 400,
    param: "allowed_token_ids",
    reason: "allowed_token_ids: are all stop tokens, which min_tokens forbids at first"
  })
})
