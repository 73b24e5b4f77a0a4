import type { JudgedRecord } from "@plumbline/data"
import { hasHead, type Head, type ScalarModel } from "@plumbline/models"
import { adapterHead } from "@plumbline/peft"
import { type AttributeWeights, equalWeights, unfitWeights, unreadable } from "@plumbline/reward-model"
import { Effect } from "effect"
import { type ModelFolder, RowUnusable } from "./model-input.ts"
import { remark } from "./terminal.ts"

/** Whether the folder's model, or the adapter on it, has a head. */
export const givesScores = Effect.fnUntraced(function* ({ adapter, model }: ModelFolder) {
  return (yield* hasHead(model)) || (adapter !== undefined && (yield* adapterHead(adapter)) !== undefined)
})

/** Fails on the first row that the model cannot read. */
export const readableRows = (
  model: ScalarModel,
  records: ReadonlyArray<Pick<JudgedRecord, "origin">>,
  rows: ReadonlyArray<Int32Array>
) =>
  Effect.forEach(
    rows,
    (ids, i) => {
      const reason = unreadable(model, ids)
      const origin = records[i]!.origin
      const place = origin === undefined ? `row ${i + 1}` : `${origin.file}, line ${origin.line}`
      return reason === undefined ? Effect.void : Effect.fail(new RowUnusable({ place, reason }))
    },
    { discard: true }
  )

/** The weights that were given, where they fit the head; all the same where none were. */
export const weightsFor = Effect.fnUntraced(function* (head: Head, given: AttributeWeights | undefined) {
  if (given === undefined && head.attributes.length > 1) {
    yield* remark(`reward: the mean of ${head.attributes.join(", ")}; --attribute-weights says otherwise`)
    return equalWeights(head)
  }
  const unfit = unfitWeights(head, given)
  return unfit === undefined ? given : yield* unfit
})
