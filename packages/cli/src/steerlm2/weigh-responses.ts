import { gradeLogProb, type GradeModel, labelIds, labelled, rowLogProbs } from "@plumbline/algorithms"
import { attempt, type Conversation, tokenizeCompletion, tokenizeJudged, type TokenizerShape } from "@plumbline/data"
import type { CausalLM, ScalarModel } from "@plumbline/models"
import { scoreRows } from "@plumbline/reward-model"
import { Effect } from "effect"
import { RowUnusable } from "../model-input.ts"
import type { GradedPrompt } from "./wanted-grades.ts"

interface Reader<M> {
  readonly model: M
  readonly tokenizer: TokenizerShape
}

/** The three models that say how much a response counts. */
export interface Weighers {
  /** Q′: wrote the responses. */
  readonly policy: Reader<CausalLM>
  /** P(y|x): was never told grades. */
  readonly base: Reader<CausalLM>
  /** P(a|x,y) */
  readonly grader: Reader<ScalarModel>
  /** Attributes in the order of the policy. */
  readonly names: ReadonlyArray<string>
  readonly grades: GradeModel
  readonly batchTokens: number
}

/** A response to a prompt. */
export interface Answer extends GradedPrompt {
  readonly response: string
  /** Of the prompt, for failures. */
  readonly place: string
}

/** Log-probs of responses, nats. */
export interface Weighed {
  readonly grade: number
  readonly base: number
  readonly policy: number
}

/** Asks the three models about responses, tokenized as `plumb steerlm2` will read them. */
export const weighResponses = Effect.fnUntraced(function* (answers: ReadonlyArray<Answer>, weighers: Weighers) {
  const { base, batchTokens, grader, grades, names, policy } = weighers
  const plain = yield* attempt(() => answers.map((answer) => completionRow(base.tokenizer, answer)))
  const steered = yield* attempt(() =>
    answers.map((answer) =>
      labelled(completionRow(policy.tokenizer, answer), labelIds(policy.tokenizer, names, answer.grades))
    )
  )
  const read = yield* attempt(() =>
    answers.map(({ prompt, response }) =>
      tokenizeJudged(grader.tokenizer, { kind: "completion", prompt, completion: completionOf(prompt, response) })
    )
  )
  yield* roomFor("the base model", base.model, answers, plain.map(({ ids }) => ids)) // prettier-ignore
  yield* roomFor("the policy", policy.model, answers, steered.map(({ ids }) => ids)) // prettier-ignore
  yield* roomFor("the attribute model", grader.model, answers, read)
  const scores = yield* scoreRows(grader.model, read, { batchTokens })
  const [ofBase, ofPolicy] = [
    rowLogProbs(base.model, plain, { budget: batchTokens, padId: base.tokenizer.padId }),
    rowLogProbs(policy.model, steered, { budget: batchTokens, padId: policy.tokenizer.padId })
  ]
  const { attributes } = grader.model.head
  const gradesOf = (answer: Answer, i: number) =>
    Object.entries(answer.grades).reduce(
      (sum, [name, grade]) => sum + gradeLogProb(scores[i]![attributes.indexOf(name)]!, grade, grades),
      0
    )
  return answers.map((answer, i): Weighed => ({ grade: gradesOf(answer, i), base: ofBase[i]!, policy: ofPolicy[i]! }))
})

const completionOf = (prompt: Conversation, response: string): Conversation =>
  typeof prompt === "string" ? response : [{ role: "assistant", content: response }]

const completionRow = (tokenizer: TokenizerShape, { prompt, response }: Answer) =>
  tokenizeCompletion(tokenizer, prompt, completionOf(prompt, response))

const roomFor = (
  who: string,
  { config }: Pick<CausalLM | ScalarModel, "config">,
  answers: ReadonlyArray<Answer>,
  rows: ReadonlyArray<Int32Array>
) => {
  const long = rows.findIndex((ids) => ids.length > config.maxPositions)
  if (long < 0) return Effect.void
  const reason = `has ${rows[long]!.length} tokens with a response, and the context of ${who} is ${config.maxPositions}`
  return Effect.fail(new RowUnusable({ place: answers[long]!.place, reason }))
}
