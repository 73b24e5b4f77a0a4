import { collate, type TokenizedRow } from "@plumbline/data"
import type { Dataset, DataUnit, MicroBatch } from "@plumbline/training"
import type { ReferenceLogProbsShape } from "../preference/reference-log-probs.ts"
import type { PromptUnit } from "../responses/prompt-data.ts"
import type { ReferencedRows } from "../unpaired/unpaired-batch.ts"

/** A response of the policy, and a number that says how good it was. */
export interface OwnUnit extends DataUnit {
  readonly row: TokenizedRow
  readonly value: number
}

/** R responses of the policy with the reference's log-probs. */
export interface OwnBatch extends MicroBatch, ReferencedRows {
  /** [R] how good each was, as the algorithm counts it */
  readonly values: Float32Array
}

/** The units as a micro-batch; of none nobody is asked. */
export const ownBatch = (
  data: Pick<Dataset<PromptUnit>, "layout" | "padId">,
  units: ReadonlyArray<OwnUnit>,
  reference: ReferenceLogProbsShape
): OwnBatch => {
  const responses = units.map(({ row }) => row)
  const batch = { responses, rows: collate(responses, data) }
  return {
    ...batch,
    referenceLogProbs: units.length === 0 ? new Float32Array(0) : reference.of(batch),
    values: Float32Array.from(units, ({ value }) => value),
    tokens: units.reduce((total, { tokens }) => total + tokens, 0),
    origins: units.map(({ origin }) => origin)
  }
}
