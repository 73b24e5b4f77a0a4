import { it } from "@effect/vitest"
import type { RewardShape } from "@plumbline/reward-model"
import { RunStore } from "@plumbline/store"
import { RunContext } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { resolve } from "node:path"
import { describe, expect } from "vitest"
import { collected, lengths, options, prompts, world } from "../../testing/collect-case.ts"
import { collectRollout, type Replacing } from "./collect.ts"
import type { RolloutGroup } from "./rollout.ts"

/** Without what the store does not keep. */
const stored = (groups: ReadonlyArray<RolloutGroup>) =>
  groups.map(({ responses, ...group }) => ({
    ...group,
    responses: responses.map(({ policyLogProbs: _told, ...response }) => response)
  }))

describe("a rollout of which groups are in the store", () => {
  const output = "somewhere"
  const run = Layer.mergeAll(
    RunStore.layerTest,
    RunContext.layer({ output, resume: false, invocation: { command: "grpo", options: {} } })
  )
  const registered = Effect.flatMap(RunStore, (store) =>
    store.register({ id: resolve(output), name: "x", algorithm: "grpo", folder: output, config: {}, startedAt: "now" })
  )

  it.live("does not write again what was recorded before the run was killed", () =>
    Effect.gen(function* () {
      yield* registered
      const whole = yield* collected(world().layer)
      const again = world()
      const { groups } = yield* collected(again.layer)
      expect(again.asked).toEqual([])
      expect(stored(groups)).toEqual(stored(whole.groups))
      const store = yield* RunStore
      expect((yield* store.rollouts(resolve(output))).length).toBe(6)
    }).pipe(Effect.provide(run))
  )

  it.live("writes again what other weights, or another seed, had written", () =>
    Effect.gen(function* () {
      yield* registered
      yield* collected(world().layer)
      const newer = world({ version: 1 })
      yield* collected(newer.layer)
      expect(newer.asked.length).toBe(3)
      const other = world({ version: 1 })
      yield* collected(other.layer, { seed: 4 })
      expect(other.asked.length).toBe(3)
    }).pipe(Effect.provide(run))
  )

  it.live(
    "takes what somewhat older weights had written where that is within the bound, and nothing of newer ones",
    () =>
      Effect.gen(function* () {
        yield* registered
        yield* collected(world({ version: 3 }).layer)
        const asked = (version: number, slack: number) =>
          Effect.gen(function* () {
            const now = world({ version })
            yield* collected(now.layer, { slack })
            return now.asked.length
          })
        expect(yield* asked(5, 2)).toBe(0)
        // of weights that are lost, where a run has gone back to a checkpoint
        expect(yield* asked(2, 2)).toBe(3)
        expect(yield* asked(5, 2)).toBe(3)
      }).pipe(Effect.provide(run))
  )

  it.live("does not write again what it had put aside, either", () =>
    Effect.gen(function* () {
      yield* registered
      const replacing: Replacing = { spares: prompts.slice(1), teaches: ({ promptText }) => promptText !== "b" }
      const first = prompts.slice(0, 2)
      const all = { ...options, replacing }
      const whole = yield* collectRollout(0, first, all).pipe(Effect.provide(world().layer))
      expect(whole.groups.map(({ place, promptText }) => [place, promptText])).toEqual([
        [0, "a"],
        [3, "c"]
      ])
      expect(whole.aside.map(({ place }) => place)).toEqual([1, 2])
      expect(whole.measured).toMatchObject({ "rollout/thrown_away": 2, "rollout/unfilled": 0 })
      const again = world()
      const { aside, groups } = yield* collectRollout(0, first, all).pipe(Effect.provide(again.layer))
      expect(again.asked).toEqual([])
      expect([stored(groups), stored(aside)]).toEqual([stored(whole.groups), stored(whole.aside)])
    }).pipe(Effect.provide(run))
  )

  it.live("keeps the groups that were whole when it failed", () =>
    Effect.gen(function* () {
      yield* registered
      const { layer } = world({ before: (prompt) => (prompt === 2 ? Effect.never : Effect.void) })
      yield* Effect.flip(collected(layer))
      const again = world()
      yield* collected(again.layer)
      expect(again.asked).toEqual([99])
    }).pipe(Effect.provide(run))
  )

  it.live("writes all of a rollout that is not whole by an engine of this process, and judges what is new", () =>
    Effect.gen(function* () {
      yield* registered
      const { layer } = world({ before: (prompt) => (prompt === 2 ? Effect.never : Effect.void), colocated: true })
      yield* Effect.flip(collected(layer))
      const judged: Array<number> = []
      const judge: RewardShape["judge"] = (groups) =>
        Effect.sync(() => {
          judged.push(...groups.map(({ responses }) => responses[0]!.ids[0]!))
          return lengths(groups)
        })
      const again = world({ colocated: true, judge })
      const { groups } = yield* collected(again.layer)
      expect([again.asked.toSorted(), judged]).toEqual([[97, 98, 99], [99]])
      expect(stored(groups)).toEqual(stored((yield* collected(world().layer)).groups))
      const whole = world({ colocated: true })
      yield* collected(whole.layer)
      expect(whole.asked).toEqual([])
    }).pipe(Effect.provide(run))
  )
})
