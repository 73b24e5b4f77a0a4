import {
  collate,
  type TokenizedPreference,
  tokenizePreference,
  tokenizePrompt,
  type TokenizerShape
} from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { generate } from "@plumbline/rollout-generation"
import { tf } from "@plumbline/runtime"
import { type Pair, readResponse, type Task } from "./small-tasks.ts"

export interface Answered extends Task {
  readonly response: string
  readonly correct: boolean
  readonly polite: boolean
}

/** One response to each task, sampled at temperature 1 and checked by code. */
export const answerTasks = (
  model: CausalLM,
  tokenizer: TokenizerShape,
  tasks: ReadonlyArray<Task>,
  seed: number
): ReadonlyArray<Answered> => {
  const prompts = tasks.map(({ prompt }) => tokenizePrompt(tokenizer, prompt))
  const responses = generate(model, prompts, {
    maxNewTokens: 40,
    seed,
    stopIds: tokenizer.stopIds,
    temperature: 1,
    topK: 0,
    topP: 1
  })
  return tasks.map((task, i) => {
    const response = tokenizer.decode(responses[i]!.responseIds, { skipSpecialTokens: true })
    const { answer, polite } = readResponse(response)
    return { ...task, response, correct: answer === task.answer, polite }
  })
}

/** Share of pairs whose chosen response the model finds more likely than the rejected one. */
export const preferenceRate = (model: CausalLM, tokenizer: TokenizerShape, pairs: ReadonlyArray<Pair>): number => {
  const tokenized = pairs.map((pair) => tokenizePreference(tokenizer, pair))
  const chosen = responseLogProbs(model, tokenizer, tokenized, "chosen")
  const rejected = responseLogProbs(model, tokenizer, tokenized, "rejected")
  return share(chosen.map((logProb, i) => logProb > rejected[i]!))
}

/** [P] nats: log π of one side of each pair. */
const responseLogProbs = (
  model: CausalLM,
  { padId }: TokenizerShape,
  pairs: ReadonlyArray<TokenizedPreference>,
  side: "chosen" | "rejected"
): ReadonlyArray<number> => {
  const rows = collate(
    pairs.map((pair) => pair[side]),
    { layout: "packed", padId }
  )
  return tf.tidy(() => [...sumByRow(model.tokenLogProbs(rows).logProbs, rows.scored.rows, pairs.length).dataSync()])
}

export const share = (flags: ReadonlyArray<boolean>): number => flags.filter(Boolean).length / flags.length
