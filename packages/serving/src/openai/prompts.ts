import type { TokenizerShape } from "@plumbline/data"
import { Effect } from "effect"
import type { LazyList } from "../shell/json-texts.ts"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import { badMessages } from "./messages.ts"
import { checkIds } from "./sampling.ts"
import type { ServedModel } from "./served-model.ts"
import { codePoints, rememberedOffsets } from "./token-offsets.ts"

export interface Prompt {
  /** [T] int32, 1 ≤ T */
  readonly ids: Int32Array
  /** For `echo`; worked out when it is first asked for. */
  readonly text: () => string
  /** Characters of that text. */
  readonly codePoints: () => number
  /** For each id the place in that text at which it starts; code points. */
  readonly offsets: LazyList<number>
}

interface PromptOptions {
  readonly addSpecialTokens: boolean
  readonly skipSpecialTokens: boolean
}

/**
 * The prompts of a completion: a text, token ids, or a list of texts or of lists of token ids.
 *
 * @param options.addSpecialTokens whether texts get what the tokenizer puts before them
 * @param options.skipSpecialTokens whether the texts of token ids leave special tokens out, as those of answers do
 */
export const promptsOf = (
  model: ServedModel,
  prompt: unknown,
  options: PromptOptions
): Effect.Effect<ReadonlyArray<Prompt>, RequestRefused> =>
  Effect.gen(function* () {
    const given = readPrompts(prompt)
    if (given === undefined) return yield* badField("prompt", WANTED)
    if (given.length === 0) return yield* badField("prompt", "is an empty list")
    const prompts = yield* Effect.forEach(given, (one) =>
      typeof one === "string" ? textPrompt(model, one, options) : Effect.succeed(idsPrompt(model, one, options))
    )
    for (const { ids } of prompts) {
      if (ids.length === 0) return yield* badField("prompt", "has no tokens: there is nothing to go on from")
      yield* checkIds("prompt", ids, model.generator.limits.vocabulary)
    }
    return prompts
  })

/** How many prompts there are, where it is prompts at all. */
export const promptCount = (prompt: unknown): number =>
  Array.isArray(prompt) && typeof prompt[0] !== "number" ? prompt.length : 1

const WANTED = "must be a text, a list of texts, a list of token ids, or a list of lists of token ids"

type Ids = ReadonlyArray<number>

const readPrompts = (prompt: unknown): ReadonlyArray<string | Ids> | undefined => {
  if (typeof prompt === "string") return [prompt]
  if (!Array.isArray(prompt)) return undefined
  if (prompt.length > 0 && isIds(prompt)) return [prompt]
  return prompt.every((one) => typeof one === "string") || prompt.every(isIds) ? prompt : undefined
}

const isIds = (value: unknown): value is Ids =>
  Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 31)

/** Its special tokens are those that the text spells out, so they have their places in it; what is put before it has none. */
const textPrompt = (
  { tokenizer, tokenizerThread: { part, prompt } }: ServedModel,
  given: string,
  { addSpecialTokens }: PromptOptions
) => {
  // half of a character, where a client has cut one, is U+FFFD to tokenizers: strict clients could not read it back
  const text = given.toWellFormed()
  const added = addSpecialTokens ? addedBefore(tokenizer, text) : 0
  return (addSpecialTokens ? prompt(text) : part(text)).pipe(
    Effect.mapError((error) => badMessages("prompt", error)),
    Effect.map((ids) => promptOf(ids, rememberedOffsets(tokenizer, false, ids, added), () => text))
  )
}

/** How many ids the tokenizer puts before those of a text, which may bring its BOS itself. */
const addedBefore = ({ bosId, decode, prefixIds }: TokenizerShape, text: string): number => {
  const own = bosId !== undefined && prefixIds.at(-1) === bosId && text.startsWith(decode([bosId]))
  return own ? prefixIds.length - 1 : prefixIds.length
}

const idsPrompt = ({ tokenizer }: ServedModel, given: Ids, { skipSpecialTokens }: PromptOptions): Prompt => {
  const ids = Int32Array.from(given)
  const offsets = rememberedOffsets(tokenizer, skipSpecialTokens, ids)
  return promptOf(ids, offsets, () => tokenizer.decode(ids, { skipSpecialTokens }))
}

const promptOf = (ids: Int32Array, offsets: LazyList<number>, makeText: () => string): Prompt => {
  let text: string | undefined
  let count: number | undefined
  const once = () => (text ??= makeText())
  return { ids, offsets, text: once, codePoints: () => (count ??= codePoints(once())) }
}

/**
 * Most new tokens after a prompt: what was asked for, which must fit, else `otherwise`, at most what fits.
 *
 * @param fields of the request that name the prompt and the number
 */
export const roomFor = (
  { generator }: ServedModel,
  promptTokens: number,
  asked: number | undefined,
  otherwise: number,
  fields = { prompt: "prompt", most: "max_tokens" }
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
      param: asked === undefined || room <= 0 ? fields.prompt : fields.most,
      code: "context_length_exceeded"
    })
  )
}
