import type { GenerationError } from "@plumbline/rollout-generation"
import type { Limits } from "../shell/limits.ts"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { generatorDown } from "./served-model.ts"

/** What a request has the Generator's fields from. */
const FIELDS: ReadonlyMap<string, string> = new Map([
  ["promptIds", "prompt"],
  ["samples", "n"],
  ["topLogProbs", "logprobs"],
  ["maxNewTokens", "max_tokens"],
  ["minNewTokens", "min_tokens"],
  ["stopIds", "stop_token_ids"],
  ["stopStrings", "stop"],
  ["logitBias", "logit_bias"],
  ["allowedTokens", "allowed_token_ids"],
  ["cacheTokens", "--cache-tokens"]
])

const fieldName = (field: string): string => FIELDS.get(field) ?? field

/** What a client reads where generation fails; the deadline of a generation is what is left of a request's time. */
export const refusalOf =
  ({ maxRequestSeconds }: Pick<Limits, "maxRequestSeconds">) =>
  (error: GenerationError): RequestRefused => {
    switch (error._tag) {
      case "GenerationRefused":
        return badField(fieldName(error.field), error.reason.replace(/\w+/g, fieldName))
      case "GenerationTimedOut":
        return new RequestRefused({
          status: 504,
          reason: `the answer was not finished within ${maxRequestSeconds} s`,
          code: "timeout"
        })
      case "GeneratorFailed":
        return generatorDown(error.reason)
    }
  }
