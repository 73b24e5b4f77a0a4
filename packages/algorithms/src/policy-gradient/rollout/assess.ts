import { Tokenizer } from "@plumbline/data"
import { type JudgedGroup, Reward, type RewardGroup, RewardTimedOut } from "@plumbline/reward-model"
import { Effect } from "effect"
import { rewardGroup } from "../../responses/judged-responses.ts"
import { responseRow } from "../../responses/responses.ts"
import type { CriticShape } from "../critic/critic.ts"
import type { Draft } from "./draft.ts"
import type { RolloutGroup } from "./rollout.ts"

export interface AssessOptions {
  /** Seconds after which a reward that has not answered is taken for dead. */
  readonly rewardTimeout: number
  /** Asked about each group as soon as it is written, as the reward is. */
  readonly critic?: Pick<CriticShape, "values"> | undefined
}

/**
 * Rewards and values, asked for at the same time; the reward once for all of the drafts.
 *
 * @param valued to be told once the critic has answered
 */
export const assessed = Effect.fnUntraced(function* (
  drafts: ReadonlyArray<Draft>,
  { critic, rewardTimeout }: AssessOptions,
  valued: Effect.Effect<unknown>
) {
  if (critic === undefined) return yield* Effect.andThen(valued, judged(drafts, rewardTimeout))
  const rows = drafts.flatMap(({ responses, unit }) =>
    responses.map(({ responseIds }) => responseRow(unit.row.ids, responseIds))
  )
  const both = [judged(drafts, rewardTimeout), Effect.tap(critic.values(rows), () => valued)] as const
  const [groups, values] = yield* Effect.all(both, { concurrency: 2 })
  let next = 0
  return groups.map((group) => ({
    ...group,
    responses: group.responses.map((response) => ({ ...response, values: values[next++]! }))
  }))
})

const judged = Effect.fnUntraced(function* (drafts: ReadonlyArray<Draft>, seconds: number) {
  const reward = yield* Reward
  const tokenizer = yield* Tokenizer
  const asked = drafts.map(({ greedy, responses, unit }) =>
    rewardGroup(
      tokenizer,
      unit,
      [...responses, ...(greedy === undefined ? [] : [greedy])].map((response) => ({ response }))
    )
  )
  const answers = yield* reward.judge(asked).pipe(
    Effect.timeoutOrElse({
      duration: seconds * 1000,
      orElse: () => {
        const part = reward.parts.map(({ name }) => name).join(", ")
        return Effect.fail(new RewardTimedOut({ row: asked[0]!.row, part, seconds }))
      }
    })
  )
  return drafts.map((draft, i) => rolloutGroup(draft, asked[i]!, answers[i]!))
})

const rolloutGroup = (draft: Draft, asked: RewardGroup, answer: JudgedGroup): RolloutGroup => ({
  place: draft.place,
  origin: draft.unit.origin,
  promptIds: draft.unit.row.ids,
  promptText: asked.prompt.text,
  seed: draft.seed,
  responses: draft.responses.map((written, i) => ({
    responseIds: written.responseIds,
    samplingLogProbs: written.samplingLogProbs,
    policyLogProbs: written.policyLogProbs,
    policyVersions: written.policyVersions,
    ended: written.finishReason === "stop",
    text: asked.responses[i]!.text,
    reward: answer.responses[i]!.reward,
    parts: answer.responses[i]!.parts
  })),
  greedyReward: draft.greedy === undefined ? undefined : answer.responses.at(-1)!.reward
})
