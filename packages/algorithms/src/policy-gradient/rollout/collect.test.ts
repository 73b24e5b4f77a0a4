import { it } from "@effect/vitest"
import { RewardFailed } from "@plumbline/reward-model"
import { Deferred, Effect } from "effect"
import { describe, expect } from "vitest"
import { collected, lengths, world } from "../../testing/collect-case.ts"
import { CriticFailed } from "../critic/critic.ts"

describe("a rollout", () => {
  it.live("judges a group while others are still written, and keeps the prompts' order", () =>
    Effect.gen(function* () {
      const firstJudged = yield* Deferred.make<void>()
      const { layer } = world({
        // all but the second wait until it was judged
        before: (prompt) => (prompt === 1 ? Effect.void : Deferred.await(firstJudged)),
        judge: (groups) =>
          Effect.as(
            groups[0]!.prompt.text === "b" ? Deferred.succeed(firstJudged, undefined) : Effect.void,
            lengths(groups)
          )
      })
      const { groups } = yield* collected(layer, { generationTimeout: 5 })
      expect(groups.map(({ promptText }) => promptText)).toEqual(["a", "b", "c"])
      expect(groups.map(({ responses }) => responses.map(({ reward }) => reward))).toEqual([
        [48, 49],
        [48, 49],
        [48, 49]
      ])
    })
  )

  it.live("ends in a moment when the generator stalls, with its reason", () =>
    Effect.gen(function* () {
      const { layer } = world({ before: (prompt) => (prompt === 2 ? Effect.never : Effect.void) })
      const error = yield* Effect.flip(collected(layer))
      expect(error._tag).toBe("GenerationTimedOut")
    })
  )

  it.live("ends when a reward dies or does not answer, with the row", () =>
    Effect.gen(function* () {
      const died = new RewardFailed({ row: "prompts.jsonl:2", part: "last", reason: "connection refused" })
      const dead = yield* Effect.flip(
        collected(
          world({ before: (p) => (p === 0 ? Effect.never : Effect.void), judge: () => Effect.fail(died) }).layer,
          {
            generationTimeout: 60
          }
        )
      )
      expect(dead).toBe(died)
      const silent = yield* Effect.flip(collected(world({ judge: () => Effect.never }).layer))
      expect(silent.message).toContain('prompts.jsonl:1: reward "last" took longer than its deadline of 0.05 s')
    })
  )

  it.live("ends when the critic dies", () =>
    Effect.gen(function* () {
      const gone = new CriticFailed({ during: "values", reason: "connection refused" })
      const error = yield* Effect.flip(collected(world().layer, { critic: { values: () => Effect.fail(gone) } }))
      expect(error.message).toBe("the critic failed to give values: connection refused")
    })
  )
})
