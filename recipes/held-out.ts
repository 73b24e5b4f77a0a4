import {
  collate,
  type TokenizedPreference,
  tokenizePreference,
  tokenizePrompt,
  type TokenizerShape
} from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { Generator, promptRequests, responseText, samplingOptions } from "@plumbline/rollout-generation"
import { tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { type Pair, readResponse, type Task } from "./small-tasks.ts"

export interface Answered extends Task {
  readonly response: string
  readonly correct: boolean
  readonly polite: boolean
}

/** One response to each task, sampled at temperature 1 and checked by code. */
export const answerTasks = Effect.fn("answerTasks")(function* (
  model: CausalLM,
  tokenizer: TokenizerShape,
  tasks: ReadonlyArray<Task>,
  seed: number
) {
  const prompts = tasks.map(({ prompt }) => tokenizePrompt(tokenizer, prompt))
  const sampling = samplingOptions({ maxNewTokens: 40, stopIds: [...tokenizer.stopIds] })
  const groups = yield* Effect.flatMap(Generator, ({ generate }) =>
    generate(promptRequests(prompts, { seed, sampling }))
  ).pipe(Effect.provide(Generator.layerModel(model)))
  return tasks.map((task, i): Answered => {
    const response = responseText(tokenizer, groups[i]!.responses[0]!)
    const { answer, polite } = readResponse(response)
    return { ...task, response, correct: answer === task.answer, polite }
  })
})

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
