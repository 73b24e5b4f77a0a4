import { collate } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import { Effect, type Scope } from "effect"
import { type Batcher, batcher } from "./batcher.ts"
import { scoreRows } from "./score-rows.ts"

export interface ScorerOptions {
  /** Most tokens computed at once; 16384 when absent. */
  readonly batchTokens?: number | undefined
  /** Milliseconds that a row waits for others to be computed with; 2 when absent. */
  readonly batchDelay?: number | undefined
}

/** A reward model that many ask at the same time; rows of all of them are computed together. */
export interface Scorer {
  /** [K], the scores of a row. */
  readonly scores: (ids: Int32Array) => Effect.Effect<Float32Array>
  /** [T, K] row-major, the scores of what the row says up to each token: a critic's values. */
  readonly values: (ids: Int32Array) => Effect.Effect<Float32Array>
  /** Rows that wait for their batch. */
  readonly waiting: () => number
}

/** Batches that are on the device or being read: one computes while the other's scores are read. */
const PARALLEL = 2

export const scorer = (
  model: ScalarModel,
  { batchDelay: delay = 2, batchTokens: budget = 16_384 }: ScorerOptions = {}
): Effect.Effect<Scorer, never, Scope.Scope> =>
  Effect.gen(function* () {
    const shared = { sizeOf: (ids: Int32Array) => ids.length, budget, delay, parallel: PARALLEL }
    const whole: Batcher<Int32Array, Float32Array, never> = yield* batcher({
      ...shared,
      run: (rows: ReadonlyArray<Int32Array>) => scoreRows(model, rows, { batchTokens: budget })
    })
    const tokens: Batcher<Int32Array, Float32Array, never> = yield* batcher({
      ...shared,
      run: (rows: ReadonlyArray<Int32Array>) => tokenValues(model, rows)
    })
    return {
      scores: whole.submit,
      values: tokens.submit,
      waiting: () => whole.waiting() + tokens.waiting()
    }
  })

const tokenValues = Effect.fnUntraced(function* (model: ScalarModel, rows: ReadonlyArray<Int32Array>) {
  const batch = collate(
    rows.map((ids) => ({ ids, lossMask: new Uint8Array(ids.length) })),
    { layout: "packed", padId: 0 }
  )
  const scores = model.tokenScores(batch, Int32Array.from(batch.tokens.keys()))
  const values = (yield* Effect.ensuring(
    Effect.promise(() => scores.data()),
    Effect.sync(() => scores.dispose())
  )) as Float32Array
  const width = model.head.attributes.length
  return rows.map((ids, r) => values.slice(batch.starts[r]! * width, (batch.starts[r]! + ids.length) * width))
})
