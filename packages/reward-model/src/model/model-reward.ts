import { attempt, type TokenizerShape, tokenizeJudged } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { Effect } from "effect"
import { type AttributeWeights, weightsInOrder } from "../attribute-weights.ts"
import { type RewardError, RewardFailed, RewardNotFinite } from "../errors.ts"
import type { JudgedResponse, RewardGroup, RewardPart } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"
import { scoreRows, type ScoreRowsOptions, unreadable } from "./score-rows.ts"

export interface ModelRewardOptions extends ScoreRowsOptions {
  /** What each attribute of the head counts; needed where it has several. */
  readonly attributeWeights?: AttributeWeights | undefined
  /** Of the part, where the head has one attribute; else put before the attributes' names, with a slash. */
  readonly name?: string | undefined
  /** The reward model's, where it is not the policy's: texts are tokenized again, as in training. The policy's ids when absent. */
  readonly tokenizer?: TokenizerShape | undefined
}

/**
 * A trained model's scores as a reward: its attributes are the parts. Throws AttributesUnknown where weights do not fit.
 *
 * A response that has no end of its own, cut by a limit, is scored where it stops.
 */
export const modelReward = (model: ScalarModel, options: ModelRewardOptions = {}): RewardShape => {
  const weights = weightsInOrder(model.head, options.attributeWeights)
  const { attributes } = model.head
  const named = (attribute: string) => {
    if (options.name === undefined) return attribute
    return attributes.length === 1 ? options.name : `${options.name}/${attribute}`
  }
  const parts = attributes.map((attribute, k) => ({ name: named(attribute), weight: weights[k]! }))
  return {
    parts,
    judge: Effect.fn("modelReward")(function* (groups: ReadonlyArray<RewardGroup>) {
      const judged = groups.flatMap((group) => group.responses.map((response, i) => ({ group, response, i })))
      const rows = yield* Effect.forEach(judged, ({ group, response }) =>
        rowOf(model, options, parts[0]!.name, group, response)
      )
      const scores = yield* scoreRows(model, rows, options)
      for (const [place, { group, i }] of judged.entries()) {
        const k = scores[place]!.findIndex((value) => !Number.isFinite(value))
        if (k < 0) continue
        return yield* new RewardNotFinite({
          row: group.row,
          part: parts[k]!.name,
          response: i,
          value: scores[place]![k]!
        })
      }
      let next = 0
      return groups.map(({ responses }) => ({
        responses: responses.map(() => {
          const values = scores[next++]!
          return judgement(parts.map((part, k): RewardPart => ({ ...part, raw: values[k]!, value: values[k]! })))
        })
      }))
    })
  }
}

/** What the model reads of a response, prompt in front. */
const rowOf = (
  model: ScalarModel,
  { tokenizer }: ModelRewardOptions,
  part: string,
  { prompt, row }: RewardGroup,
  response: JudgedResponse
): Effect.Effect<Int32Array, RewardError> => {
  const failed = (reason: string) => new RewardFailed({ row, part, reason })
  const ids =
    tokenizer === undefined
      ? Effect.sync(() => joined(prompt.ids, response.ids))
      : attempt(() => {
          const completion =
            prompt.messages === undefined ? response.text : [{ role: "assistant", content: response.text }]
          return tokenizeJudged(tokenizer, { kind: "completion", prompt: prompt.messages ?? prompt.text, completion })
        }).pipe(Effect.mapError(({ message }) => failed(message)))
  return Effect.filterOrFail(
    ids,
    (read) => unreadable(model, read) === undefined,
    (read) => failed(`the row ${unreadable(model, read)}`)
  )
}

const joined = (a: Int32Array, b: Int32Array): Int32Array => {
  const both = new Int32Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}
