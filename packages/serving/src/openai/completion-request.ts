import { Effect, Schema } from "effect"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import { completionFormat } from "./completion-format.ts"
import { decodeRequest, type Refusals } from "./decode-request.ts"
import { MOST_TOP_LOG_PROBS, sharedFields, sharedRefusals } from "./fields.ts"
import type { Job } from "./job.ts"
import { promptCount, promptsOf, roomFor } from "./prompts.ts"
import { checkResponses, samplingOf, seedOf } from "./sampling.ts"
import { modelNamed, type ServedModels } from "./served-model.ts"
import { checkStream, streamUsageOf } from "./stream-options.ts"
import { idWords, tokenWords } from "./token-text.ts"

const CompletionRequest = Schema.Struct({
  ...sharedFields,
  prompt: Schema.optionalKey(Schema.Unknown),
  add_special_tokens: Schema.optionalKey(Schema.Boolean),
  // 0 as in OpenAI's API, and not in vLLM's: the answer has the prompt's count of tokens, and with echo its scores
  max_tokens: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  logprobs: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: MOST_TOP_LOG_PROBS }))),
  echo: Schema.optionalKey(Schema.Boolean),
  best_of: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0)))
})
type CompletionRequest = typeof CompletionRequest.Type

/** New tokens where the request names no number; OpenAI's. */
const DEFAULT_MAX_TOKENS = 16

const REFUSALS: Refusals = {
  ...sharedRefusals,
  prompt_logprobs: "a prompt's scores are given with echo and logprobs; max_tokens 0 asks for nothing else",
  suffix: "filling a gap between prompt and suffix is not supported: models here continue texts"
}

/** Reads a body of `/v1/completions`. */
export const completionJob = (
  models: ServedModels,
  body: unknown,
  maxResponses: number
): Effect.Effect<Job, RequestRefused> =>
  Effect.gen(function* () {
    const request = yield* decodeRequest(CompletionRequest, REFUSALS, body)
    const model = yield* modelNamed(models, request.model)
    yield* checkCombinations(request)
    const samples = request.best_of ?? request.n ?? 1
    const cause = samples === 1 ? "prompt" : request.best_of === undefined ? "n" : "best_of"
    yield* checkResponses(cause, samples * promptCount(request.prompt), maxResponses)
    const skipSpecialTokens = request.skip_special_tokens ?? true
    const addSpecialTokens = request.add_special_tokens ?? true
    const prompts = yield* promptsOf(model, request.prompt, { addSpecialTokens, skipSpecialTokens })
    const samplingFor = yield* samplingOf(model, request)
    const requests = yield* Effect.forEach(prompts, ({ ids }) =>
      Effect.gen(function* () {
        const room = yield* roomFor(model, ids.length, request.max_tokens, DEFAULT_MAX_TOKENS)
        return {
          promptIds: ids,
          samples,
          // one that nobody chose is each prompt's own: equal prompts are to have answers that differ
          seed: seedOf(request),
          sampling: yield* samplingFor(room),
          stopInSpecialTokens: !skipSpecialTokens,
          topLogProbs: request.logprobs ?? 0,
          promptLogProbs: request.echo === true && request.logprobs !== undefined
        }
      })
    )
    const { stopIds, stopStrings } = requests[0]!.sampling
    const text = {
      tokenizer: model.tokenizer,
      stopStrings,
      stopIds,
      skipSpecialTokens,
      offsets: request.logprobs !== undefined
    }
    const format = completionFormat({
      prompts,
      samples: request.n ?? 1,
      text,
      words: request.return_tokens_as_token_ids === true ? idWords : tokenWords(model.tokenizer),
      echo: request.echo ?? false,
      logProbs: request.logprobs !== undefined,
      tokenIds: request.return_token_ids ?? false
    })
    return { model, requests, text, stream: request.stream ?? false, streamUsage: streamUsageOf(request), format }
  })

const checkCombinations = (request: CompletionRequest) => {
  const { best_of: bestOf, n, stream } = request
  if (request.prompt === undefined) return Effect.fail(badField("prompt", "is missing", "missing_required_parameter"))
  if (bestOf !== undefined && bestOf < (n ?? 1)) {
    return Effect.fail(badField("best_of", `must be at least n, which is ${n ?? 1}: answers are the best n of so many`))
  }
  if (bestOf !== undefined && bestOf > (n ?? 1) && stream === true) {
    return Effect.fail(badField("best_of", "is chosen from whole answers, which cannot be streamed; leave out stream"))
  }
  return checkStream(request)
}
