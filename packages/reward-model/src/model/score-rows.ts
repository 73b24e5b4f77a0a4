import { collate, splitByTokens, type TokenRows } from "@plumbline/data"
import type { ScalarModel } from "@plumbline/models"
import type { Tensor2D } from "@plumbline/runtime"
import { Effect } from "effect"

export interface ScoreRowsOptions {
  /** Most tokens computed at once; a longer row is computed alone. 16384 when absent. */
  readonly batchTokens?: number | undefined
}

/** A batch whose scores the device may still be computing. */
interface Pending {
  readonly places: ReadonlyArray<number>
  readonly scores: Tensor2D
}

/**
 * Scores of rows of token ids, [K] each, in their order. Rows are packed: nothing is computed for padding, and what else is
 * scored beside a row changes nothing in it. The next batch is handed to the device before the last one is read.
 */
export const scoreRows = Effect.fn("scoreRows")(function* (
  model: ScalarModel,
  rows: ReadonlyArray<Int32Array>,
  { batchTokens = 16_384 }: ScoreRowsOptions = {}
) {
  const found: Array<Float32Array> = []
  const open = new Set<Tensor2D>()
  const start = (places: ReadonlyArray<number>): Pending => {
    const scores = model.rowScores(packed(places.map((place) => rows[place]!)))
    open.add(scores)
    return { places, scores }
  }
  const read = Effect.fnUntraced(function* ({ places, scores }: Pending) {
    const values = (yield* Effect.promise(() => scores.data())) as Float32Array
    const width = model.head.attributes.length
    places.forEach((place, i) => (found[place] = values.slice(i * width, (i + 1) * width)))
    scores.dispose()
    open.delete(scores)
  })
  yield* Effect.gen(function* () {
    let last: Pending | undefined
    for (const places of batchesOf(rows, batchTokens)) {
      const next = start(places)
      if (last !== undefined) yield* read(last)
      last = next
    }
    if (last !== undefined) yield* read(last)
  }).pipe(Effect.ensuring(Effect.sync(() => open.forEach((scores) => scores.dispose()))))
  return found as ReadonlyArray<Float32Array>
})

const batchesOf = (rows: ReadonlyArray<Int32Array>, budget: number): ReadonlyArray<ReadonlyArray<number>> =>
  splitByTokens([...rows.keys()], { tokens: (place) => rows[place]!.length, budget })

const packed = (rows: ReadonlyArray<Int32Array>): TokenRows =>
  collate(
    rows.map((ids) => ({ ids, lossMask: new Uint8Array(ids.length) })),
    { layout: "packed", padId: 0 }
  )

/** Why a model cannot read a row; undefined where it can. */
export const unreadable = ({ config, contextTokens }: ScalarModel, ids: Int32Array): string | undefined => {
  if (ids.length === 0) return "has no tokens"
  if (ids.length > contextTokens) {
    return `has ${ids.length} tokens, and the reward model's context is ${contextTokens}`
  }
  const unknown = ids.find((id) => id < 0 || id >= config.vocabulary)
  return unknown === undefined
    ? undefined
    : `token id ${unknown} is outside the reward model's vocabulary of ${config.vocabulary}`
}
