import { type PromptRecord, Tokenizer, type TokenizerShape } from "@plumbline/data"
import { Reward, type RewardGroup, type RewardPart } from "@plumbline/reward-model"
import { responseText } from "@plumbline/rollout-generation"
import { fromFirst } from "@plumbline/training"
import { Effect } from "effect"
import type { PromptUnit } from "./prompt-data.ts"
import { type ResponseOptions, type WrittenResponse, writeResponses } from "./responses.ts"

/** A response and its reward; undefined where the reward abstained. */
export interface JudgedSample extends WrittenResponse {
  readonly reward: number | undefined
  readonly parts: ReadonlyArray<RewardPart>
}

/** The responses to one prompt, by sample. */
export interface JudgedPromptUnit {
  readonly unit: PromptUnit
  readonly samples: ReadonlyArray<JudgedSample>
}

/** Writes responses to prompts and asks the reward about them. */
export const judgedResponses = Effect.fnUntraced(function* (
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: ResponseOptions
) {
  const prompts = units.map(({ row }) => row.ids)
  return yield* judged(units, yield* writeResponses(prompts, step, options))
})

/** Asks the reward about responses that are written. @param written [prompts][samples] */
export const judged = Effect.fnUntraced(function* (
  units: ReadonlyArray<PromptUnit>,
  written: ReadonlyArray<ReadonlyArray<WrittenResponse>>
) {
  const tokenizer = yield* Tokenizer
  const reward = yield* Reward
  // a reward may normalise over the batch, or remember
  const judgements = yield* fromFirst(reward.judge(units.map((unit, i) => rewardGroup(tokenizer, unit, written[i]!))))
  return units.map((unit, i): JudgedPromptUnit => ({
    unit,
    samples: written[i]!.map((sample, s) => ({ ...sample, ...judgements[i]!.responses[s]! }))
  }))
})

/** A group as rewards see it. A row's `answer` is what a right response says. */
export const rewardGroup = (
  tokenizer: TokenizerShape,
  { origin, row }: PromptUnit,
  samples: ReadonlyArray<Pick<WrittenResponse, "response">>
): RewardGroup => ({
  row: origin,
  prompt: { ids: row.ids, text: promptText(tokenizer, row.record, row.ids), ...messagesOf(row.record) },
  responses: samples.map(({ response }) => ({
    ids: response.responseIds,
    text: responseText(tokenizer, response),
    finished: response.finishReason === "stop"
  })),
  answer: answerOf(row.record),
  fields: row.record.fields
})

export const promptText = (tokenizer: TokenizerShape, record: PromptRecord, ids: Int32Array): string =>
  record.kind === "text" ? record.text : tokenizer.decode(ids)

const messagesOf = (record: PromptRecord) => (record.kind === "chat" ? { messages: record.messages } : {})

/** What a right response to this prompt says, where its row tells. */
export const answerOf = ({ fields }: PromptRecord): string | undefined => {
  const answer = fields?.["answer"]
  return typeof answer === "string" || typeof answer === "number" ? String(answer) : undefined
}
