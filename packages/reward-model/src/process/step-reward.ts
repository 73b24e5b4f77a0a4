import { collate, splitByTokens, type TokenizedRow, type TokenizerShape, tokenizeSteps } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { type RewardError, RewardFailed, RewardNotFinite } from "../errors.ts"
import { unreadable } from "../model/score-rows.ts"
import type { JudgedResponse, RewardGroup } from "../reward-request.ts"
import { judgement, type RewardShape } from "../reward-shape.ts"

/** How the probabilities that each step is right become the reward of a response; there is at least one. */
export type StepReduction = (probabilities: ReadonlyArray<number>) => number

/** The weakest step decides. */
export const weakestStep: StepReduction = (probabilities) => Math.min(...probabilities)

/** That all steps are right, if they were independent. @see Lightman et al. 2023, https://arxiv.org/abs/2305.20050 */
export const everyStep: StepReduction = (probabilities) => probabilities.reduce((product, one) => product * one, 1)

export const lastStep: StepReduction = (probabilities) => probabilities.at(-1)!

export interface StepRewardOptions {
  /** "steps" when absent. */
  readonly name?: string
  readonly weight?: number
  /** The process reward model's own. */
  readonly tokenizer: TokenizerShape
  /** What ends a step, as in training; a line end when absent. Empty steps are none. */
  readonly separator?: string
  /** `weakestStep` when absent. */
  readonly reduce?: StepReduction
  /** Most tokens computed at once; 16384 when absent. */
  readonly batchTokens?: number
}

/**
 * A process reward model as a reward: its probability that each step of a response is right, made one. It abstains on a
 * response without any step.
 */
export const stepReward = (model: ScalarModel, options: StepRewardOptions): RewardShape => {
  const { name = "steps", reduce = weakestStep, weight = 1 } = options
  if (model.head.attributes.length > 1) throw new RangeError("a process reward model scores a step by one number")
  return {
    parts: [{ name, weight }],
    judge: Effect.fn("stepReward")(function* (groups: ReadonlyArray<RewardGroup>) {
      const judged = groups.flatMap((group) => group.responses.map((response, i) => ({ group, i, response })))
      const rows = judged.map(({ group, response }) => stepsOf(group, response, options))
      yield* readable(model, name, judged, rows)
      const steps = probabilities(model, rows, options.batchTokens ?? 16_384)
      for (const [place, found] of steps.entries()) {
        const value = found.find((one) => !Number.isFinite(one))
        const { group, i } = judged[place]!
        if (value !== undefined) return yield* new RewardNotFinite({ row: group.row, part: name, response: i, value })
      }
      let next = 0
      return groups.map(({ responses }) => ({
        responses: responses.map(() => {
          const found = steps[next++]!
          const value = found.length === 0 ? undefined : reduce(found)
          return judgement([{ name, weight, raw: value, value }])
        })
      }))
    })
  }
}

const stepsOf = (
  { prompt }: RewardGroup,
  { text }: JudgedResponse,
  { separator = "\n", tokenizer }: StepRewardOptions
): TokenizedRow => {
  const steps = text.split(separator).filter((step) => step.trim() !== "")
  return tokenizeSteps(tokenizer, prompt.text, steps, separator)
}

const readable = (
  model: ScalarModel,
  part: string,
  judged: ReadonlyArray<{ readonly group: RewardGroup }>,
  rows: ReadonlyArray<TokenizedRow>
): Effect.Effect<void, RewardError> =>
  Effect.forEach(
    rows,
    ({ ids }, place) => {
      const reason = unreadable(model, ids)
      if (reason === undefined) return Effect.void
      return Effect.fail(new RewardFailed({ row: judged[place]!.group.row, part, reason: `the row ${reason}` }))
    },
    { discard: true }
  )

/** σ(score) where each step of each row ends. */
const probabilities = (
  model: ScalarModel,
  rows: ReadonlyArray<TokenizedRow>,
  budget: number
): ReadonlyArray<ReadonlyArray<number>> => {
  const found: Array<ReadonlyArray<number>> = rows.map(() => [])
  const stepped = [...rows.keys()].filter((place) => rows[place]!.lossMask.includes(1))
  for (const places of splitByTokens(stepped, { tokens: (place) => rows[place]!.ids.length, budget })) {
    const batch = places.map((place) => rows[place]!)
    const packed = collate(batch, { layout: "packed", padId: 0 })
    const ends = batch.map(({ lossMask }, r) =>
      Array.from(lossMask.keys()).flatMap((t) => (lossMask[t] === 1 ? packed.starts[r]! + t : []))
    )
    const scores = tf.tidy(() => model.tokenScores(packed, Int32Array.from(ends.flat())).dataSync())
    let next = 0
    places.forEach((place, r) => (found[place] = ends[r]!.map(() => 1 / (1 + Math.exp(-scores[next++]!)))))
  }
  return found
}
