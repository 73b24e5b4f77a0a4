import { it } from "@effect/vitest"
import { createScalarModel, llama } from "@plumbline/models"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect } from "vitest"
import { unevenRows } from "../../testing/small-models.ts"
import type { CriticLesson } from "./critic.ts"
import { modelCritic } from "./model-critic.ts"

const table = { family: llama, vocabulary: 13, width: 16, layers: 1, heads: 4, mlpWidth: 24, maxPositions: 32 }

const opened = Effect.gen(function* () {
  const model = yield* Effect.acquireRelease(
    Effect.sync(() => createScalarModel(table, { attributes: ["value"], pooling: "last" }, 7)),
    ({ dispose }) => Effect.sync(dispose)
  )
  return yield* modelCritic(model, {
    learningRate: 1e-2,
    weightDecay: 0,
    adamBeta1: 0.9,
    adamBeta2: 0.98,
    adamEpsilon: 1e-8,
    maxGradNorm: 1,
    valueClip: 0,
    split: { count: 4 },
    layout: "packed",
    padId: 0,
    extraFiles: {}
  })
})

const lengths = unevenRows.map(({ lossMask }) => lossMask.reduce((sum, counts) => sum + counts, 0))
const lesson = (steps: number): CriticLesson => ({
  rows: unevenRows.map((row, r) => ({
    row,
    origin: `row ${r}`,
    oldValues: new Float32Array(lengths[r]!),
    returns: new Float32Array(lengths[r]!).fill(r % 2)
  })),
  steps: Array.from({ length: steps }, () => unevenRows.map((_, r) => r))
})

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-critic-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true }))
)

describe("a critic of this process", () => {
  it.effect("learns returns, one number a counted token, and answers after what it was told to learn", () =>
    Effect.gen(function* () {
      const critic = yield* opened
      const done = yield* critic.train(lesson(60))
      // asked before the end of the lesson, answered after it
      const values = yield* critic.values(unevenRows)
      expect(values.map(({ length }) => length)).toEqual(lengths)
      for (const [r, own] of values.entries())
        for (const value of own) expect(Math.abs(value - (r % 2))).toBeLessThan(0.45)
      const metrics = yield* done
      expect(Object.keys(metrics).toSorted()).toEqual([
        "critic/grad_norm",
        "critic/loss",
        "critic/values/error",
        "critic/values/mean"
      ])
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("goes on from where it was saved, to the bit", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const [first, second] = [yield* opened, yield* opened]
      yield* yield* first.train(lesson(3))
      const where = yield* first.save(at, "step-1")
      yield* yield* first.train(lesson(2))
      yield* second.restore(at, where)
      yield* yield* second.train(lesson(2))
      expect(yield* second.values(unevenRows)).toEqual(yield* first.values(unevenRows))
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )

  it.effect("fails at returns that are no numbers, names the row, and is not moved by them", () =>
    Effect.gen(function* () {
      const critic = yield* opened
      const before = yield* critic.values(unevenRows)
      const bad = lesson(1)
      bad.rows[2]!.returns.fill(NaN)
      const error = yield* Effect.flip(Effect.flatMap(critic.train(bad), (done) => done))
      expect(error.message).toContain("the critic failed to learn: loss of a step is NaN (row 2)")
      expect(yield* critic.values(unevenRows)).toEqual(before)
    }).pipe(Effect.scoped, Effect.provide(ModelRuntime.layerWasm))
  )
})
