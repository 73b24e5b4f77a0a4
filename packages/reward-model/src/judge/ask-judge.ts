import type { Message, TokenizerShape } from "@plumbline/data"
import { attempt, tokenizePrompt } from "@plumbline/data"
import {
  type GeneratedGroup,
  type GenerationError,
  type GeneratorShape,
  promptRequests,
  responseText,
  type SamplingOptions,
  samplingOptions
} from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { type RewardError, RewardFailed, RewardTimedOut } from "../errors.ts"

export interface JudgeOptions {
  /** Writes the judge's texts. */
  readonly generator: GeneratorShape
  /** The judge's own. */
  readonly tokenizer: TokenizerShape
  /** Greedy, 512 tokens, ended by the tokenizer's stop tokens, when absent. */
  readonly sampling?: SamplingOptions
  /** Of the judge's samples; 0 when absent. */
  readonly seed?: number
  /** Seconds for each text, waiting included; no limit when absent. */
  readonly deadlineSeconds?: number
  /** What a text that cannot be read does: fail, naming the row, or abstain. "fail" when absent; it is never a guess. */
  readonly unreadable?: "fail" | "abstain"
}

/** A question to the judge, and the row that it is about. */
export interface JudgeQuestion {
  readonly row: string
  readonly messages: ReadonlyArray<Message>
}

/** The judge's texts, in the order of the questions. */
export const askJudge = Effect.fn("askJudge")(function* (
  part: string,
  questions: ReadonlyArray<JudgeQuestion>,
  { deadlineSeconds, generator, sampling, seed = 0, tokenizer }: JudgeOptions
) {
  const failed = (row: string) => (error: { readonly message: string }) =>
    new RewardFailed({ row, part, reason: error.message })
  const prompts = yield* Effect.forEach(questions, ({ messages, row }) =>
    attempt(() => tokenizePrompt(tokenizer, messages)).pipe(Effect.mapError(failed(row)))
  )
  const shared = {
    seed,
    sampling: sampling ?? samplingOptions({ maxNewTokens: 512, temperature: 0, stopIds: [...tokenizer.stopIds] }),
    ...(deadlineSeconds === undefined ? {} : { deadlineSeconds })
  }
  const requests = promptRequests(prompts, shared)
  // one by one, so that a failure is of one row; the generator batches them all the same
  const groups = yield* Effect.forEach(
    requests,
    (request, i) =>
      generator.generate([request]).pipe(Effect.mapError((error) => judgeError(error, questions[i]!.row, part))),
    { concurrency: "unbounded" }
  )
  return groups.map(([group]) => textOf(tokenizer, group!))
})

const textOf = (tokenizer: TokenizerShape, { responses }: GeneratedGroup): string =>
  responseText(tokenizer, responses[0]!)

const judgeError = (error: GenerationError, row: string, part: string): RewardError =>
  error._tag === "GenerationTimedOut"
    ? new RewardTimedOut({ row, part, seconds: error.seconds })
    : new RewardFailed({ row, part, reason: `the judge: ${error.message}` })

/** What each text says; where one cannot be read the judge fails, or abstains with undefined. */
export const readTexts = <Said>(
  part: string,
  questions: ReadonlyArray<JudgeQuestion>,
  texts: ReadonlyArray<string>,
  read: (text: string) => Said | undefined,
  { unreadable = "fail" }: Pick<JudgeOptions, "unreadable">
): Effect.Effect<ReadonlyArray<Said | undefined>, RewardError> => {
  const said = texts.map(read)
  const place = said.indexOf(undefined)
  if (place < 0 || unreadable === "abstain") return Effect.succeed(said)
  const reason = `the judge's text cannot be read: ${JSON.stringify(texts[place]!.slice(-160))}`
  return Effect.fail(new RewardFailed({ row: questions[place]!.row, part, reason }))
}
