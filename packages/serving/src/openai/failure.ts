import type { GenerationError } from "@plumbline/rollout-generation"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { generatorDown } from "./served-model.ts"

/** What a client reads where generation fails. */
export const refusalOf = (error: GenerationError): RequestRefused => {
  switch (error._tag) {
    case "GenerationRefused":
      return badField(error.field, error.reason)
    case "GenerationTimedOut":
      return new RequestRefused({
        status: 504,
        reason: `the answer was not finished within ${error.seconds} s`,
        code: "timeout"
      })
    case "GeneratorFailed":
      return generatorDown(error.reason)
  }
}
