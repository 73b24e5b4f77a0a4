import type { Message, TokenizerShape } from "@plumbline/data"
import { Effect, Schema } from "effect"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { chatFormat } from "./chat-format.ts"
import { checkStream, streamUsageOf } from "./stream-options.ts"
import { decodeRequest, isObject, type Refusals } from "./decode-request.ts"
import { FREE_TEXT, MOST_TOP_LOG_PROBS, sharedFields, sharedRefusals } from "./fields.ts"
import type { Job } from "./job.ts"
import { badMessages, readMessages } from "./messages.ts"
import { roomFor } from "./prompts.ts"
import { checkResponses, samplingOf, seedOf } from "./sampling.ts"
import { modelNamed, type ServedModel, type ServedModels } from "./served-model.ts"
import { readVariables } from "./template-variables.ts"
import { idWords, tokenWords } from "./token-text.ts"
import { readTools, takesTools, type Tool } from "./tools.ts"

const PositiveInt = Schema.Int.check(Schema.isGreaterThan(0))

const ChatRequest = Schema.Struct({
  ...sharedFields,
  messages: Schema.optionalKey(Schema.Unknown),
  max_tokens: Schema.optionalKey(PositiveInt),
  max_completion_tokens: Schema.optionalKey(PositiveInt),
  logprobs: Schema.optionalKey(Schema.Boolean),
  top_logprobs: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: MOST_TOP_LOG_PROBS }))),
  // what formats other than text have beside their type is not read: none of them is made here
  response_format: Schema.optionalKey(Schema.Unknown),
  modalities: Schema.optionalKey(Schema.Array(Schema.Literal("text"))),
  // what may be long is read in a loop of its own
  chat_template_kwargs: Schema.optionalKey(Schema.Unknown),
  // as chats are rendered
  echo: Schema.optionalKey(Schema.Literal(false)),
  add_generation_prompt: Schema.optionalKey(Schema.Literal(true)),
  continue_final_message: Schema.optionalKey(Schema.Literal(false)),
  add_special_tokens: Schema.optionalKey(Schema.Literal(false)),
  // their parameters may be long: they are read in a loop of their own
  tools: Schema.optionalKey(Schema.Unknown),
  tool_choice: Schema.optionalKey(Schema.Literals(["none", "auto"])),
  parallel_tool_calls: Schema.optionalKey(Schema.Boolean)
})
type ChatRequest = typeof ChatRequest.Type

const OLD_TOOLS = "is not supported: functions are given as tools"

const REFUSALS: Refusals = {
  ...sharedRefusals,
  functions: OLD_TOOLS,
  function_call: OLD_TOOLS,
  prompt_logprobs: "a prompt is scored by /v1/completions, with echo and logprobs",
  chat_template: "chats are rendered by the model's own template; send other prompts to /v1/completions",
  audio: "answers are text",
  prediction: "predicted outputs are not supported",
  reasoning_effort: "the model has no setting for it",
  verbosity: "the model has no setting for it",
  web_search_options: "this server searches nothing"
}

/** Reads a body of `/v1/chat/completions`. */
export const chatJob = (
  models: ServedModels,
  body: unknown,
  maxResponses: number
): Effect.Effect<Job, RequestRefused> =>
  Effect.gen(function* () {
    const request = yield* decodeRequest(ChatRequest, REFUSALS, body)
    const model = yield* modelNamed(models, request.model)
    yield* checkCombinations(request)
    const samples = request.n ?? 1
    yield* checkResponses("n", samples, maxResponses)
    const { chatTemplate } = model.tokenizer
    const tools = readTools(chatTemplate, request.tool_choice === "none" ? undefined : request.tools)
    if (tools instanceof RequestRefused) return yield* tools
    const messages = yield* readMessages(request.messages, takesTools(chatTemplate))
    const promptIds = yield* renderMessages(model, messages, tools, request.chat_template_kwargs)
    const asked = request.max_completion_tokens ?? request.max_tokens
    const fields = {
      prompt: "messages",
      most: request.max_completion_tokens === undefined ? "max_tokens" : "max_completion_tokens"
    }
    const room = yield* roomFor(model, promptIds.length, asked, Number.POSITIVE_INFINITY, fields)
    const sampling = yield* (yield* samplingOf(model, request))(room)
    const text = {
      tokenizer: model.tokenizer,
      stopStrings: sampling.stopStrings,
      stopIds: sampling.stopIds,
      skipSpecialTokens: request.skip_special_tokens ?? true,
      // a chat's log-probs have none
      offsets: false
    }
    const format = chatFormat({
      promptIds,
      text,
      words: request.return_tokens_as_token_ids === true ? idWords : tokenWords(model.tokenizer),
      logProbs: request.logprobs ?? false,
      tokenIds: request.return_token_ids ?? false,
      calls: tools.length > 0
    })
    const stopInSpecialTokens = !text.skipSpecialTokens
    const topLogProbs = request.top_logprobs ?? 0
    return {
      model,
      requests: [{ promptIds, samples, seed: seedOf(request), sampling, topLogProbs, stopInSpecialTokens }],
      text,
      stream: request.stream ?? false,
      streamUsage: streamUsageOf(request),
      format
    }
  })

const checkCombinations = (request: ChatRequest) => {
  const { max_completion_tokens: most, max_tokens: mostBefore } = request
  if (most !== undefined && mostBefore !== undefined && most !== mostBefore) {
    return Effect.fail(badField("max_tokens", `${mostBefore} is not max_completion_tokens, ${most}; give one of them`))
  }
  if ((request.top_logprobs ?? 0) > 0 && request.logprobs !== true) {
    return Effect.fail(badField("top_logprobs", "needs logprobs to be true"))
  }
  return Effect.andThen(checkFormat(request.response_format), checkStream(request))
}

const TextFormat = Schema.Struct({ type: Schema.Literal("text") })

const checkFormat = (format: unknown): Effect.Effect<unknown, RequestRefused> => {
  if (format === undefined) return Effect.void
  const type = isObject(format) ? format["type"] : undefined
  if (typeof type !== "string" || type === "text") return decodeRequest(TextFormat, {}, format, "response_format")
  const reason = `${type.slice(0, 200)} is not supported: ${FREE_TEXT}`
  return Effect.fail(badField("response_format", reason, "unsupported_parameter"))
}

/** OpenAI's newer name for the system is that to templates which do not know it. */
const spokenTo = ({ chatTemplate }: TokenizerShape, messages: ReadonlyArray<Message>): ReadonlyArray<Message> =>
  chatTemplate?.includes("developer") === true
    ? messages
    : messages.map((message) => (message.role === "developer" ? { ...message, role: "system" } : message))

/** [T] int32: the messages as the model's chat template renders them, for the assistant to go on. */
const renderMessages = Effect.fnUntraced(function* (
  { tokenizer, tokenizerThread }: ServedModel,
  messages: ReadonlyArray<Message>,
  tools: ReadonlyArray<Tool>,
  kwargs: unknown
) {
  const variables = readVariables(tokenizer.chatTemplate, kwargs)
  if (variables instanceof RequestRefused) return yield* variables
  const ids = yield* tokenizerThread
    .prompt(spokenTo(tokenizer, messages), tools.length > 0 ? { ...variables, tools } : variables)
    .pipe(Effect.mapError((error) => badMessages("messages", error)))
  if (ids.length > 0) return ids
  return yield* badField("messages", "the chat template makes an empty text of them")
})
