import { Reward, type RewardError } from "@plumbline/reward-model"
import { type GenerationError, Generator } from "@plumbline/rollout-generation"
import { philoxStream, Processes } from "@plumbline/runtime"
import { shared } from "@plumbline/training"
import { Clock, Effect } from "effect"
import type { PromptUnit } from "../../responses/prompt-data.ts"
import type { CriticFailed } from "../critic/critic.ts"
import { assessed, type AssessOptions } from "./assess.ts"
import { draftGroup, type DraftOptions } from "./draft.ts"
import { fill } from "./fill.ts"
import { type LogError, rolloutLog } from "./rollout-log.ts"
import type { Rollout, RolloutGroup } from "./rollout.ts"

export interface CollectOptions extends DraftOptions, AssessOptions {
  /** Of the run. */
  readonly seed: number
  /** Of the stream that samples are drawn from; "rollouts" when absent. */
  readonly stream?: string
  /** Versions by which the weights that wrote recorded groups may be older than those of now; 0 when absent. */
  readonly slack?: number
  /** To be told once nothing but rewards is to come: all responses are written, and the critic has answered. */
  readonly written?: Effect.Effect<unknown>
  /** Prompts that take the place of those that teach nothing; none do when absent. */
  readonly replacing?: Replacing | undefined
}

export interface Replacing {
  readonly spares: ReadonlyArray<PromptUnit>
  readonly teaches: (group: RolloutGroup) => boolean
}

/**
 * Answers the prompts of a rollout and judges each group as soon as it is whole, while others are still written. The
 * first failure ends all of it. Groups come in the order of the prompts, and are the same whatever finishes first.
 * Groups that were recorded before the run was killed are not judged again, nor written where all of the rollout were: an engine of
 * this process writes them once more beside the others, whose bits may depend on the number of rows of a step. Processes that
 * share the run share the prompts.
 */
export const collectRollout = Effect.fn("collectRollout")(function* (
  index: number,
  prompts: ReadonlyArray<PromptUnit>,
  options: CollectOptions
) {
  const { replacing, written = Effect.void } = options
  const begun = yield* Clock.currentTimeMillis
  let [generatedAt, open] = [begun, prompts.length]
  const { memory } = yield* Reward
  const log = yield* rolloutLog
  const known = yield* log.known(index)
  const wanted = yield* wantedGroup(index, options)
  const all = replacing === undefined ? prompts : [...prompts, ...replacing.spares]
  const draft = Effect.fnUntraced(function* (place: number) {
    const drafted = yield* draftGroup(all[place]!, place, wanted(all[place]!, place).seed, options)
    generatedAt = yield* Clock.currentTimeMillis
    return drafted
  })
  // who may be replaced by another is not known before the reward is
  const settled = (count: number) =>
    Effect.suspend(() => ((open -= count) === 0 && replacing === undefined ? written : Effect.void))
  const recorded = new Set<number>()
  const record = (groups: ReadonlyArray<RolloutGroup>) =>
    Effect.forEach(groups, (group) =>
      Effect.andThen(
        log.group(index, group),
        Effect.sync(() => recorded.add(group.place))
      )
    )
  // what a reward remembers is of groups it has seen: none is left out
  const recordedBefore = (place: number) =>
    memory === undefined ? known(place, wanted(all[place]!, place)) : undefined
  const make = Effect.fnUntraced(function* (places: ReadonlyArray<number>) {
    const drafts = yield* Effect.forEach(places, draft, { concurrency: "unbounded" })
    const groups = yield* assessed(drafts, options, settled(places.length))
    yield* record(groups)
    return groups
  })
  const { colocated } = yield* Generator
  const take = Effect.fnUntraced(function* (groups: ReadonlyArray<RolloutGroup>, isWhole: boolean) {
    const places = groups.map(({ place }) => place)
    if (colocated && !isWhole) yield* Effect.forEach(places, draft, { concurrency: "unbounded" })
    for (const place of places) recorded.add(place)
    return yield* Effect.as(settled(places.length), groups)
  })
  // a reward that remembers sees groups in their order, so it sees them together
  const [together, teaches] = [memory !== undefined, replacing?.teaches ?? (() => true)] as const
  const filled = (places: ReadonlyArray<number>, spares: number) => {
    const most = places.length + spares
    const placeOf = (number: number) => places[number] ?? number
    const before = Array.from({ length: most }, (_, number) => recordedBefore(placeOf(number)))
    const there = before.filter((group) => group !== undefined)
    const isWhole = there.length === most || (spares > 0 && there.filter(teaches).length >= places.length)
    return fill({
      wanted: places.length,
      most,
      together,
      make: (numbers) => {
        const groups = numbers.flatMap((number) => before[number] ?? [])
        return groups.length === numbers.length ? take(groups, isWhole) : make(numbers.map(placeOf))
      },
      teaches
    })
  }
  const places = [...prompts.keys()]
  const { size } = yield* Processes
  const { aside, kept } =
    size === 1
      ? yield* filled(places, all.length - prompts.length)
      : { aside: [], kept: yield* shared(places, (own) => Effect.map(filled(own, 0), ({ kept }) => kept)) }
  yield* record(kept.filter(({ place }) => !recorded.has(place)))
  const ended = yield* Clock.currentTimeMillis
  const measured = {
    "timers/generate": (generatedAt - begun) / 1000,
    "timers/score": (ended - generatedAt) / 1000,
    ...(replacing !== undefined && {
      "rollout/thrown_away": aside.length,
      "rollout/unfilled": prompts.length - kept.length
    })
  }
  const rollout: Rollout = { index, groups: kept, aside, measured }
  return rollout
})

export type CollectError = GenerationError | RewardError | CriticFailed | LogError

/** What a recorded group must be to be taken instead of a new one. */
const wantedGroup = Effect.fnUntraced(function* (
  index: number,
  { critic, greedy, samples, seed, slack = 0, stream = "rollouts" }: CollectOptions
) {
  const { uint32 } = philoxStream(seed, `${stream}/${index}`)
  const newest = yield* Effect.flatMap(Generator, ({ policyVersion }) => policyVersion)
  return (unit: PromptUnit, place: number) => ({
    origin: unit.origin,
    promptIds: unit.row.ids,
    seed: uint32(place),
    samples,
    versions: [newest - slack, newest] as const,
    withValues: critic !== undefined,
    withGreedy: greedy
  })
})
