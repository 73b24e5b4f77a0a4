import { collate } from "@plumbline/data"
import type { TokenizedRow } from "@plumbline/data"
import type { CausalLM } from "@plumbline/models"
import type { Dataset, MicroBatch } from "@plumbline/training"
import type { ResponseRows } from "../preference/pair-batch.ts"
import { responseLogProbs } from "../preference/pair-log-probs.ts"
import { mismatchedRows } from "./mismatched-rows.ts"
import type { UnpairedUnit } from "./unpaired-data.ts"

/** Responses with the reference policy's log-probs. */
export interface ReferencedRows extends ResponseRows {
  /** [R] float32, nats: sums over each response's scored tokens */
  readonly referenceLogProbs: Float32Array
}

/** R responses judged one by one. */
export interface UnpairedBatch extends MicroBatch, ReferencedRows {
  /** [R] 1 = desirable, 0 = not */
  readonly desirable: Float32Array
  /** The prompts with completions of other prompts of the global batch; where the loss needs them. */
  readonly mismatched?: ReferencedRows
}

/** A response and its prompt with the completion of another prompt. */
export interface MismatchedUnit extends UnpairedUnit {
  readonly other?: TokenizedRow
}

type Layout = Pick<Dataset<UnpairedUnit>, "layout" | "padId" | "maxLength">

/** The units of a global batch, each with the row that sets its prompt against another's completion. */
export const withMismatched = (
  { maxLength }: Layout,
  units: ReadonlyArray<UnpairedUnit>
): ReadonlyArray<MismatchedUnit> => {
  const others = mismatchedRows(
    units.map(({ row }) => row),
    maxLength
  )
  return units.map((unit, i) => ({ ...unit, other: others[i]! }))
}

export const unpairedBatch = (
  data: Layout,
  units: ReadonlyArray<MismatchedUnit>,
  reference: CausalLM
): UnpairedBatch => {
  const referenced = (responses: ReadonlyArray<TokenizedRow>): ReferencedRows => {
    const rows = collate(responses, data)
    return { rows, responses, referenceLogProbs: responseLogProbs(reference, { rows }) }
  }
  const others = units.flatMap(({ other }) => other ?? [])
  return {
    ...referenced(units.map(({ row }) => row)),
    ...(others.length === 0 ? {} : { mismatched: referenced(others) }),
    desirable: Float32Array.from(units, ({ row }) => (row.label ? 1 : 0)),
    tokens: units.reduce((total, { tokens }) => total + tokens, 0),
    origins: units.map(({ origin }) => origin)
  }
}
