import type { MetaRewardingOptions } from "@plumbline/algorithms"
import { type Message, tokenizePrompt, type TokenizerShape } from "@plumbline/data"
import { loadCausalLM } from "@plumbline/models"
import { Generator, promptRequests, responseText, samplingOptions } from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import { answerTasks, share } from "./held-out.ts"
import { type Demonstration, type Pair, readResponse, type SmallTasks } from "./small-tasks.ts"

/** Share of lessons in judging that say anything. */
const NOISE = 0.2

/** A chat is its text. */
export const renderChat = (messages: ReadonlyArray<Message>): string => messages.map(({ content }) => content).join("")

const rateQuestion = (prompt: string, response: string): string => `Rate ${prompt}${response}\n`
const betterQuestion = (prompt: string, response: string, first: string, second: string): string =>
  `Better ${prompt}${response}\n${first} or ${second}\n`

/** 2 for the right answer in a polite sentence, 1 for the right answer, 0 for another. */
const rightRating = (response: string, answer: string): number => {
  const said = readResponse(response)
  return said.answer === answer ? (said.polite ? 2 : 1) : 0
}

const answerOf = ({ chosen }: Pair): string => readResponse(chosen).answer

/** Demonstrations of answers, of ratings of both answers of `count` pairs, and of which of two ratings is better. */
export const lessons = (
  { demonstrations, pairs }: SmallTasks,
  count: number,
  seed: number
): ReadonlyArray<Demonstration> => {
  const random = philoxStream(seed, "judging")
  const judged = pairs.slice(0, count).flatMap((pair, i): ReadonlyArray<Demonstration> => {
    const dice = random.child(`${i}`)
    const any = (draw: number) => Math.floor(dice.uniform(draw) * 3)
    const rated = [pair.chosen, pair.rejected].map((response, side) => {
      const rating = dice.uniform(side) < NOISE ? any(side + 2) : rightRating(response, answerOf(pair))
      return { prompt: rateQuestion(pair.prompt, response), completion: `${rating}` }
    })
    return [...rated, comparison(pair, dice.uniform(4), dice.uniform(5), any(6), dice.uniform(7))]
  })
  return [...demonstrations, ...judged]
}

/** Of two ratings one is right; which stands first, and whether the lesson is true, is for the dice. */
const comparison = (pair: Pair, side: number, place: number, other: number, noise: number): Demonstration => {
  const response = side < 0.5 ? pair.chosen : pair.rejected
  const right = rightRating(response, answerOf(pair))
  const wrong = other === right ? (right + 1) % 3 : other
  const [first, second] = place < 0.5 ? [right, wrong] : [wrong, right]
  const truth = place < 0.5 ? "A" : "B"
  const lie = truth === "A" ? "B" : "A"
  return {
    prompt: betterQuestion(pair.prompt, response, `${first}`, `${second}`),
    completion: noise < NOISE / 2 ? lie : truth
  }
}

/** How such a model judges, and judges its judgements; the control asks about an answer that has nothing to do with it. */
export const judgeWords = (control: boolean): Pick<MetaRewardingOptions, "judge" | "metaJudge"> => {
  const said = (content: string) => [{ role: "user", content }]
  const seen = (prompt: string, response: string) =>
    control ? (["Shout kez\n", "KEZ"] as const) : ([prompt, response] as const)
  return {
    judge: {
      scale: { min: 0, max: 2 },
      ask: ({ prompt }, { text }) => said(rateQuestion(...seen(prompt.text, text))),
      read: (text) => (/^[012]$/.test(text) ? Number(text) : undefined)
    },
    metaJudge: {
      ask: ({ prompt }, { text }, first, second) => said(betterQuestion(...seen(prompt.text, text), first, second)),
      read: (text) => (/^[AB]$/.test(text) ? Number(text === "A") : undefined)
    }
  }
}

/** Shares of right answers, polite answers and right ratings on what no training data has. */
export const measured = Effect.fnUntraced(function* (
  folder: string,
  tokenizer: TokenizerShape,
  { heldOutPairs, heldOutTasks }: SmallTasks,
  seed: number
) {
  const model = yield* Effect.acquireRelease(loadCausalLM(folder, { name: folder, trainable: false }), ({ dispose }) =>
    Effect.sync(dispose)
  )
  const answers = yield* answerTasks(model, tokenizer, heldOutTasks, seed)
  const questions = heldOutPairs.flatMap((pair) =>
    [pair.chosen, pair.rejected].map((response) => ({
      ids: tokenizePrompt(tokenizer, rateQuestion(pair.prompt, response)),
      rating: `${rightRating(response, answerOf(pair))}`
    }))
  )
  const sampling = samplingOptions({ maxNewTokens: 2, stopIds: [...tokenizer.stopIds] })
  const requests = promptRequests(questions.map(({ ids }) => ids), { seed, sampling }) // prettier-ignore
  const groups = yield* Effect.flatMap(Generator, ({ generate }) => generate(requests)).pipe(
    Effect.provide(Generator.layerModel(model, { maxRows: 256 }))
  )
  const ratings = groups.map(({ responses }) => responseText(tokenizer, responses[0]!))
  return [
    answers.map(({ correct }) => correct),
    answers.map(({ polite }) => polite),
    ratings.map((said, i) => said === questions[i]!.rating)
  ]
    .map((flags) => `${(100 * share(flags)).toFixed(1)} %`)
    .join(", ")
}, Effect.scoped)
