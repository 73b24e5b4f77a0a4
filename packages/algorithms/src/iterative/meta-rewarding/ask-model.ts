import { attempt, type Message, tokenizePrompt, Tokenizer } from "@plumbline/data"
import { Generator, responseText } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { type ResponseOptions, type WrittenResponse, writeResponses } from "../../responses/responses.ts"

/** What the model says to a question, as text and as a row to learn from. */
export interface Said extends WrittenResponse {
  readonly text: string
}

/** Asks the generator, in the chat template: [questions][samples]. A question that the context does not hold gets no answer. */
export const askModel = Effect.fnUntraced(function* (
  questions: ReadonlyArray<ReadonlyArray<Message>>,
  step: number,
  options: ResponseOptions
) {
  const tokenizer = yield* Tokenizer
  const { limits } = yield* Generator
  const prompts = yield* attempt(() => questions.map((messages) => tokenizePrompt(tokenizer, messages)))
  const fits = prompts.map((ids) => ids.length < limits.contextTokens)
  const written = yield* writeResponses(
    prompts.filter((_, i) => fits[i]),
    step,
    options
  )
  let next = 0
  return fits.map((fit): ReadonlyArray<Said> =>
    fit ? written[next++]!.map((one) => ({ ...one, text: responseText(tokenizer, one.response) })) : []
  )
})
