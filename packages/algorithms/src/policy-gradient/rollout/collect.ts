import { Tokenizer } from "@plumbline/data"
import { type JudgedGroup, Reward, type RewardError, type RewardGroup, RewardTimedOut } from "@plumbline/reward-model"
import {
  type GeneratedGroup,
  type GeneratedResponse,
  type GenerationError,
  GenerationTimedOut,
  Generator,
  type SamplingOptions
} from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { Clock, Effect } from "effect"
import type { CriticFailed, CriticShape } from "../critic/critic.ts"
import { responseRow } from "../../responses/responses.ts"
import { rewardGroup } from "../../responses/judged-responses.ts"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import { type LogError, rolloutLog, type WantedGroup } from "./rollout-log.ts"
import type { Rollout, RolloutGroup } from "./rollout.ts"

export interface CollectOptions {
  /** Responses to each prompt. */
  readonly samples: number
  readonly sampling: SamplingOptions
  /** Most tokens of prompt and response. */
  readonly maxLength: number
  /** Of the run. */
  readonly seed: number
  /** Whether the greedy response to each prompt is judged, too. */
  readonly greedy: boolean
  /** Seconds after which a generator that has not answered is taken for dead. */
  readonly generationTimeout: number
  /** The same for the reward of a group. */
  readonly rewardTimeout: number
  /** Of the stream that samples are drawn from; "rollouts" when absent. */
  readonly stream?: string
  /** Asked about each group as soon as it is written, as the reward is. */
  readonly critic?: Pick<CriticShape, "values"> | undefined
}

/**
 * Answers the prompts of a rollout and judges each group as soon as it is whole, while others are still written. The
 * first failure ends all of it. Groups come in the order of the prompts, and are the same whatever finishes first.
 * Groups that were recorded before the run was killed are not written again.
 */
export const collectRollout = Effect.fn("collectRollout")(function* (
  index: number,
  prompts: ReadonlyArray<PromptUnit>,
  options: CollectOptions
) {
  const reward = yield* Reward
  const { uint32 } = philoxStream(options.seed, `${options.stream ?? "rollouts"}/${index}`)
  const begun = yield* Clock.currentTimeMillis
  let generatedAt = begun
  const log = yield* rolloutLog
  const version = yield* Effect.flatMap(Generator, ({ policyVersion }) => policyVersion)
  const known = yield* log.known(index)
  const draft = Effect.fnUntraced(function* (unit: PromptUnit, place: number) {
    const drafted = yield* draftGroup(unit, uint32(place), options)
    generatedAt = yield* Clock.currentTimeMillis
    return drafted
  })
  const all = { concurrency: "unbounded" } as const
  const whole = Effect.fnUntraced(function* (unit: PromptUnit, place: number) {
    const before = known(place, wantedGroup(unit, uint32(place), version, options))
    if (before !== undefined) return before
    const [group] = yield* assessed([yield* draft(unit, place)], options)
    yield* log.group(index, place, group!)
    return group!
  })
  // a reward that remembers sees groups in their order, so it sees them together
  const groups =
    reward.memory === undefined
      ? yield* Effect.forEach(prompts, whole, all)
      : yield* Effect.flatMap(Effect.forEach(prompts, draft, all), (drafts) => assessed(drafts, options))
  if (reward.memory !== undefined) yield* Effect.forEach(groups, (group, place) => log.group(index, place, group))
  const ended = yield* Clock.currentTimeMillis
  const measured = { "timers/generate": (generatedAt - begun) / 1000, "timers/score": (ended - generatedAt) / 1000 }
  const rollout: Rollout = { index, groups, measured }
  return rollout
})

export type CollectError = GenerationError | RewardError | CriticFailed | LogError

const wantedGroup = (unit: PromptUnit, seed: number, version: number, options: CollectOptions): WantedGroup => ({
  origin: unit.origin,
  promptIds: unit.row.ids,
  seed,
  samples: options.samples,
  version,
  withValues: options.critic !== undefined,
  withGreedy: options.greedy
})

/** A group that is written and not judged. */
interface Draft {
  readonly unit: PromptUnit
  readonly seed: number
  readonly responses: ReadonlyArray<GeneratedResponse>
  readonly greedy: GeneratedResponse | undefined
}

const draftGroup = Effect.fnUntraced(function* (unit: PromptUnit, seed: number, options: CollectOptions) {
  const generator = yield* Generator
  const { greedy, maxLength, samples } = options
  const room = maxLength - unit.row.ids.length
  const sampling = { ...options.sampling, maxNewTokens: Math.min(options.sampling.maxNewTokens, room) }
  const request = {
    promptIds: unit.row.ids,
    seed,
    samples,
    sampling,
    deadlineSeconds: options.generationTimeout
  }
  const alone = { ...request, samples: 1, sampling: { ...sampling, temperature: 0 } }
  const seconds = options.generationTimeout
  const [sampled, likeliest] = yield* generator.generate(greedy ? [request, alone] : [request]).pipe(
    // a generator that does not keep to its deadline is dead, too; the one that does tells more
    Effect.timeoutOrElse({
      duration: seconds * 1000 + 250,
      orElse: () => Effect.fail(new GenerationTimedOut({ seconds, finished: [] }))
    })
  )
  const draft: Draft = {
    unit,
    seed,
    responses: (sampled as GeneratedGroup).responses,
    greedy: likeliest?.responses[0]
  }
  return draft
})

/** Rewards and values, asked for at the same time. */
const assessed = Effect.fnUntraced(function* (drafts: ReadonlyArray<Draft>, options: CollectOptions) {
  const { critic, rewardTimeout } = options
  if (critic === undefined) return yield* judged(drafts, rewardTimeout)
  const rows = drafts.flatMap(({ responses, unit }) =>
    responses.map(({ responseIds }) => responseRow(unit.row.ids, responseIds))
  )
  const both = [judged(drafts, rewardTimeout), critic.values(rows)] as const
  const [groups, values] = yield* Effect.all(both, { concurrency: 2 })
  let next = 0
  return groups.map((group) => ({
    ...group,
    responses: group.responses.map((response) => ({ ...response, values: values[next++]! }))
  }))
})

/** Asks the reward once for all of the drafts. */
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
  origin: draft.unit.origin,
  promptIds: draft.unit.row.ids,
  promptText: asked.prompt.text,
  seed: draft.seed,
  responses: draft.responses.map(({ finishReason, policyVersions, responseIds, samplingLogProbs }, i) => ({
    responseIds,
    samplingLogProbs,
    policyVersions,
    ended: finishReason === "stop",
    text: asked.responses[i]!.text,
    reward: answer.responses[i]!.reward,
    parts: answer.responses[i]!.parts
  })),
  greedyReward: draft.greedy === undefined ? undefined : answer.responses.at(-1)!.reward
})
