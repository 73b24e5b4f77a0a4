import { type TokenizerShape, tokenizePrompt } from "@plumbline/data"
import { Effect } from "effect"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { checkIds } from "./sampling.ts"
import type { ServedModel } from "./served-model.ts"

export interface Prompt {
  /** [T] int32, 1 ≤ T */
  readonly ids: Int32Array
  /** For `echo`. */
  readonly text: string
}

/**
 * The prompts of a completion: a text, token ids, or a list of texts or of lists of token ids.
 *
 * @param skipSpecialTokens whether the texts of token ids leave special tokens out, as those of answers do
 */
export const promptsOf = (
  { generator, tokenizer }: ServedModel,
  prompt: unknown,
  skipSpecialTokens: boolean
): Effect.Effect<ReadonlyArray<Prompt>, RequestRefused> =>
  Effect.gen(function* () {
    const prompts = readPrompts(tokenizer, prompt, skipSpecialTokens)
    if (prompts === undefined) return yield* badField("prompt", WANTED)
    if (prompts.length === 0) return yield* badField("prompt", "is an empty list")
    for (const { ids } of prompts) {
      if (ids.length === 0) return yield* badField("prompt", "has no tokens: there is nothing to go on from")
      yield* checkIds("prompt", ids, generator.limits.vocabulary)
    }
    return prompts
  })

/** How many prompts there are, where it is prompts at all. */
export const promptCount = (prompt: unknown): number =>
  Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1

const WANTED = "must be a text, a list of texts, a list of token ids, or a list of lists of token ids"

const readPrompts = (
  tokenizer: TokenizerShape,
  prompt: unknown,
  skipSpecialTokens: boolean
): ReadonlyArray<Prompt> | undefined => {
  const ofIds = (ids: ReadonlyArray<number>) => idsPrompt(tokenizer, ids, skipSpecialTokens)
  if (typeof prompt === "string") return [textPrompt(tokenizer, prompt)]
  if (!Array.isArray(prompt)) return undefined
  if (prompt.length > 0 && isIds(prompt)) return [ofIds(prompt)]
  if (prompt.every((one) => typeof one === "string")) return prompt.map((one) => textPrompt(tokenizer, one))
  return prompt.every(isIds) ? prompt.map(ofIds) : undefined
}

const isIds = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 31)

const textPrompt = (tokenizer: TokenizerShape, text: string): Prompt => ({
  ids: tokenizePrompt(tokenizer, text),
  text
})

const idsPrompt = (tokenizer: TokenizerShape, given: ReadonlyArray<number>, skipSpecialTokens: boolean): Prompt => {
  const ids = Int32Array.from(given)
  return { ids, text: tokenizer.decode(ids, { skipSpecialTokens }) }
}

/** Most new tokens after a prompt: what was asked for, which must fit, else `otherwise`, at most what fits. */
export const roomFor = (
  { generator }: ServedModel,
  promptTokens: number,
  asked: number | undefined,
  otherwise: number
): Effect.Effect<number, RequestRefused> => {
  const { contextTokens } = generator.limits
  const room = contextTokens - promptTokens
  if (room >= Math.max(1, asked ?? 1) || (asked === 0 && room === 0)) {
    return Effect.succeed(asked ?? Math.min(otherwise, room))
  }
  const wanted = asked === undefined ? "" : ` and ${asked} new ones`
  return Effect.fail(
    new RequestRefused({
      status: 400,
      reason: `the model's context has ${contextTokens} tokens; the prompt has ${promptTokens}${wanted}`,
      param: asked === undefined || room <= 0 ? "prompt" : "max_tokens",
      code: "context_length_exceeded"
    })
  )
}
