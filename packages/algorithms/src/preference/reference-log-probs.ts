import type { TokenizedRow } from "@plumbline/data"
import { type CausalLM, ReferencePolicy, weightsDigest } from "@plumbline/models"
import { sumByRow } from "@plumbline/numerics"
import { tf } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import { splitUnits } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { type PairRows, pairRows } from "./pair-batch.ts"
import { PreferenceData } from "./preference-data.ts"

export interface ReferenceLogProbsShape {
  /** [2·P] float32, nats: log π_ref of each response, in the order of the batch's rows. */
  readonly of: (batch: PairRows) => Float32Array
}

/** Where the reference policy's log-probs come from. */
export class ReferenceLogProbs extends Context.Service<ReferenceLogProbs, ReferenceLogProbsShape>()(
  "@plumbline/algorithms/ReferenceLogProbs"
) {
  /** A forward pass of the reference policy for every batch. */
  static readonly layer: Layer.Layer<ReferenceLogProbs, never, ReferencePolicy> = Layer.effect(
    ReferenceLogProbs,
    Effect.map(ReferencePolicy, (reference) => ({ of: (batch) => responseLogProbs(reference, batch) }))
  )

  /**
   * One pass of the reference policy over all the data before training; the store keeps the results, so
   * another run on the same reference and data makes none.
   */
  static readonly layerPrecomputed = Layer.effect(
    ReferenceLogProbs,
    Effect.gen(function* () {
      const reference = yield* ReferencePolicy
      const data = yield* PreferenceData
      const store = yield* RunStore
      const model = yield* weightsDigest(reference)
      const units = [...data.units, ...data.heldOut]
      const known = yield* store.logProbs(
        model,
        units.flatMap(({ row }) => [rowKey(row.chosen), rowKey(row.rejected)])
      )
      const unknown = units.filter(({ row }) => !known.has(rowKey(row.chosen)) || !known.has(rowKey(row.rejected)))
      for (const part of splitUnits(unknown, data.split)) {
        const batch = pairRows(data, part)
        const logProbs = responseLogProbs(reference, batch)
        const made = new Map(rowKeys(batch).map((key, i) => [key, logProbs[i]!] as const))
        yield* store.saveLogProbs(model, made)
        for (const [key, value] of made) known.set(key, value)
      }
      return { of: (batch) => Float32Array.from(rowKeys(batch), (key) => known.get(key)!) }
    })
  )
}

/** [2·P] float32, nats: log-probs of the scored tokens, summed by row. No gradient. */
export const responseLogProbs = (model: CausalLM, { pairs, rows }: PairRows): Float32Array =>
  tf.tidy(() => sumByRow(model.tokenLogProbs(rows).logProbs, rows.scored.rows, 2 * pairs).dataSync() as Float32Array)

const rowKeys = ({ units }: PairRows): ReadonlyArray<string> => [
  ...units.map(({ row }) => rowKey(row.chosen)),
  ...units.map(({ row }) => rowKey(row.rejected))
]

/** What a log-prob depends on besides the weights: the tokens and which of them are scored. */
const rowKey = ({ ids, lossMask }: TokenizedRow): string =>
  createHash("sha256").update(ids).update(lossMask).digest("base64url")
