import { ChatTemplateInvalid } from "../errors.ts"
import type {
  Conversation,
  JudgedRecord,
  Message,
  PreferenceRecord,
  SupervisedRecord,
  TripleRecord,
  UnpairedRecord
} from "../records/records.ts"
import { asMessages } from "../records/fields.ts"
import type { TokenizedRow } from "../rows.ts"
import { sharedPrefix } from "../tokenizer/assemble.ts"
import type { TemplateVariables, TokenizerShape } from "../tokenizer/tokenizer.ts"

export interface TokenizedPreference {
  readonly chosen: TokenizedRow
  readonly rejected: TokenizedRow
  readonly chosenReward?: number
  readonly rejectedReward?: number
  /** As in `PreferenceRecord`. */
  readonly margin?: number
  readonly strength?: number
}

export interface TokenizedTriple extends TokenizedPreference {
  /** A response to the same prompt, to be imitated. */
  readonly gold: TokenizedRow
}

/**
 * A prompt and what is to be learnt after it; only the latter counts in the loss.
 *
 * ids = prompt ++ completion by construction: both are tokenized together and the prompt cut off where its own ids are
 * the beginning, else (a token would straddle the border) the completion is tokenized alone. A completion of text ends
 * with EOS, whether the text had it or not; one of messages ends as the chat template ends it.
 *
 * @throws ChatTemplateInvalid
 */
export const tokenizeCompletion = (
  tokenizer: TokenizerShape,
  prompt: Conversation,
  completion: Conversation
): TokenizedRow => {
  if (typeof prompt === "string" && typeof completion === "string") {
    const promptIds = opened(tokenizer, tokenizer.encode(prompt, BARE))
    const together = opened(tokenizer, tokenizer.encode(prompt + completion, BARE))
    return joined(promptIds, closed(tokenizer, tail(tokenizer, promptIds, together, completion)))
  }
  const question = asMessages(prompt, "user")
  const { promptText, answerText } = renderedTurns(tokenizer, question, asMessages(completion, "assistant"))
  const promptIds = tokenizer.encode(promptText, BARE)
  const together = tokenizer.encode(promptText + answerText, BARE)
  return joined(promptIds, tail(tokenizer, promptIds, together, answerText))
}

/** A text of which every token counts but the first, which nothing predicts. It ends with EOS. */
export const tokenizeText = (tokenizer: TokenizerShape, text: string): TokenizedRow => {
  const ids = closed(tokenizer, opened(tokenizer, tokenizer.encode(text, BARE)))
  return { ids, lossMask: new Uint8Array(ids.length).fill(1, 1) }
}

/**
 * A whole chat of which the assistant's tokens count.
 *
 * @throws ChatTemplateInvalid
 */
export const tokenizeChat = (tokenizer: TokenizerShape, messages: ReadonlyArray<Message>): TokenizedRow => {
  const { ids, assistantMask } = tokenizer.encodeChat(messages, { addGenerationPrompt: false })
  return { ids, lossMask: assistantMask.fill(0, 0, 1) }
}

export const tokenizeSupervised = (tokenizer: TokenizerShape, record: SupervisedRecord): TokenizedRow => {
  if (record.kind === "text") return tokenizeText(tokenizer, record.text)
  if (record.kind === "chat") return tokenizeChat(tokenizer, record.messages)
  return tokenizeCompletion(tokenizer, record.prompt, record.completion)
}

export const tokenizePreference = (tokenizer: TokenizerShape, record: PreferenceRecord): TokenizedPreference => ({
  chosen: tokenizeCompletion(tokenizer, record.prompt, record.chosen),
  rejected: tokenizeCompletion(tokenizer, record.prompt, record.rejected),
  ...(record.chosenReward === undefined ? {} : { chosenReward: record.chosenReward }),
  ...(record.rejectedReward === undefined ? {} : { rejectedReward: record.rejectedReward }),
  ...(record.margin === undefined ? {} : { margin: record.margin }),
  ...(record.strength === undefined ? {} : { strength: record.strength })
})

export const tokenizeTriple = (tokenizer: TokenizerShape, record: TripleRecord): TokenizedTriple => ({
  ...tokenizePreference(tokenizer, record),
  gold: tokenizeCompletion(tokenizer, record.prompt, record.gold)
})

/**
 * [T] int32: what a model that judges reads. A response ends as it does in training; a text is taken as it is, with what
 * the tokenizer adds to one.
 *
 * @throws ChatTemplateInvalid
 */
export const tokenizeJudged = (tokenizer: TokenizerShape, record: JudgedRecord): Int32Array => {
  if (record.kind === "ids") return record.ids
  if (record.kind === "text") return tokenizer.encode(record.text)
  if (record.kind === "completion") return tokenizeCompletion(tokenizer, record.prompt, record.completion).ids
  return tokenizer.encode(tokenizer.renderChat(record.messages, { addGenerationPrompt: false }), BARE)
}

/**
 * A response in steps, of which the separator after each is what is scored: prompt ++ step ++ separator ++ step ++ …, each
 * tokenized alone, so a separator is the same tokens everywhere.
 *
 * @returns lossMask 1 on the last token of each separator
 */
export const tokenizeSteps = (
  tokenizer: TokenizerShape,
  prompt: string,
  steps: ReadonlyArray<string>,
  separator: string
): TokenizedRow => {
  const between = tokenizer.encode(separator, BARE)
  const parts = steps.map((step) => concat(tokenizer.encode(step, BARE), between))
  const start = opened(tokenizer, tokenizer.encode(prompt, BARE))
  const ids = parts.reduce(concat, start)
  const lossMask = new Uint8Array(ids.length)
  parts.reduce((end, part) => ((lossMask[end + part.length - 1] = 1), end + part.length), start.length)
  return { ids, lossMask }
}

/** The row with BOS in front where the tokenizer has one and the row does not begin with it. */
export const withBos = ({ bosId }: TokenizerShape, row: TokenizedRow): TokenizedRow =>
  bosId === undefined || row.ids[0] === bosId
    ? row
    : { ids: concat(Int32Array.of(bosId), row.ids), lossMask: Uint8Array.from([0, ...row.lossMask]) }

export const tokenizeUnpaired = (tokenizer: TokenizerShape, record: UnpairedRecord): TokenizedRow =>
  tokenizeCompletion(tokenizer, record.prompt, record.completion)

/**
 * Ids of a prompt to go on from: what the tokenizer puts before a text, but not what it puts after.
 *
 * @param variables of the chat template, where the prompt is a chat
 */
export const tokenizePrompt = (
  tokenizer: TokenizerShape,
  prompt: Conversation,
  variables?: TemplateVariables
): Int32Array =>
  typeof prompt === "string"
    ? opened(tokenizer, tokenizer.encode(prompt, BARE))
    : tokenizer.encode(tokenizer.renderChat(prompt, { addGenerationPrompt: true, variables }), BARE)

const BARE = { addSpecialTokens: false }

/** With the tokenizer's prefix in front, unless the text brings its BOS itself. */
const opened = ({ prefixIds, bosId }: TokenizerShape, ids: Int32Array): Int32Array =>
  prefixIds.length > 0 && bosId !== undefined && prefixIds.at(-1) === bosId && ids[0] === bosId
    ? concat(prefixIds.subarray(0, -1), ids)
    : concat(prefixIds, ids)

const closed = ({ eosId }: TokenizerShape, ids: Int32Array): Int32Array =>
  eosId === undefined || ids.at(-1) === eosId ? ids : concat(ids, Int32Array.of(eosId))

const tail = (
  tokenizer: TokenizerShape,
  promptIds: Int32Array,
  together: Int32Array,
  completion: string
): Int32Array =>
  sharedPrefix(promptIds, together) === promptIds.length
    ? together.subarray(promptIds.length)
    : tokenizer.encode(completion, BARE)

const joined = (prompt: Int32Array, completion: Int32Array): TokenizedRow => {
  const ids = concat(prompt, completion)
  return { ids, lossMask: new Uint8Array(ids.length).fill(1, Math.max(1, prompt.length)) }
}

const renderedTurns = (
  tokenizer: TokenizerShape,
  question: ReadonlyArray<Message>,
  answer: ReadonlyArray<Message>
): { readonly promptText: string; readonly answerText: string } => {
  const promptText = tokenizer.renderChat(question, { addGenerationPrompt: true })
  const whole = tokenizer.renderChat([...question, ...answer], { addGenerationPrompt: false })
  if (whole.startsWith(promptText)) return { promptText, answerText: whole.slice(promptText.length) }
  const reason = "not prefix-preserving: the response changes how its prompt is rendered"
  throw new ChatTemplateInvalid({ tokenizer: tokenizer.name, reason })
}

const concat = (a: Int32Array, b: Int32Array): Int32Array => {
  const both = new Int32Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
