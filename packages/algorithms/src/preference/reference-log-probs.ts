import type { TokenizedRow } from "@plumbline/data"
import { ReferencePolicy, weightsDigest } from "@plumbline/models"
import { RunStore } from "@plumbline/store"
import { Processes } from "@plumbline/runtime"
import { type Dataset, shareWork, splitUnits } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { createHash } from "node:crypto"
import { type PairBatch, pairRows, type ResponseRows } from "./pair-batch.ts"
import { responseLogProbs } from "./pair-log-probs.ts"
import { type PairUnit, PreferenceData } from "./preference-data.ts"
import type { PreferenceLoss } from "./preference-loss.ts"

export interface ReferenceLogProbsShape {
  /** [R] float32, nats: log π_ref of each response, in the order of the batch's rows. */
  readonly of: (batch: ResponseRows) => Float32Array
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
   * One pass of the reference policy over all pairs before training; the store keeps the results, so another run on
   * the same reference and data makes none.
   *
   * @param loss decides what tokens count
   */
  static readonly layerPrecomputed = ({ tailWeight }: Pick<PreferenceLoss, "tailWeight">) =>
    Layer.effect(
      ReferenceLogProbs,
      Effect.gen(function* () {
        const reference = yield* ReferencePolicy
        const data = yield* PreferenceData
        const store = yield* RunStore
        const model = yield* weightsDigest(reference)
        const processes = yield* Processes
        const parts = splitUnits([...data.units, ...data.heldOut], data.split).map((units) => {
          const rows = pairRows(data, units, tailWeight)
          return [{ rows, keys: responseKeys(rows), tokens: rows.tokens }]
        })
        const stored = yield* store.logProbs(
          model,
          parts.flatMap(([part]) => part!.keys)
        )
        // the first process's store is the run's
        const known = processes.exchange(stored)[0]!
        const missing = parts.filter(([part]) => !part!.keys.every((key) => known.has(key)))
        for (let next = 0; next < missing.length; next += processes.size) {
          const made = shareWork(processes, missing.slice(next, next + processes.size), ([part]) => {
            const logProbs = responseLogProbs(reference, part!.rows)
            return part!.keys.map((key, i) => [key, logProbs[i]!] as const)
          })
          yield* store.saveLogProbs(model, new Map(made.flat()))
          for (const [key, value] of made.flat()) known.set(key, value)
        }
        return { of: (batch) => Float32Array.from(responseKeys(batch), (key) => known.get(key)!) }
      })
    )
}

/** Pairs and what the reference policy says of them; of no pairs nobody is asked. */
export const pairBatch = (
  data: Pick<Dataset<PairUnit>, "layout" | "padId">,
  units: ReadonlyArray<PairUnit>,
  reference: ReferenceLogProbsShape,
  tailWeight?: number
): PairBatch => {
  const rows = pairRows(data, units, tailWeight)
  return { ...rows, referenceLogProbs: units.length === 0 ? new Float32Array(0) : reference.of(rows) }
}

/** [R] what a response's log-prob depends on besides the weights: its tokens, which of them are scored, and how much. */
const responseKeys = ({ responses, rows, tokenWeights }: ResponseRows): ReadonlyArray<string> => {
  let start = 0
  return responses.map((response, r) => {
    const end = tokenWeights === undefined ? 0 : rows.scored.rows.lastIndexOf(r) + 1
    const key = responseKey(response, tokenWeights?.subarray(start, end))
    start = end
    return key
  })
}

const responseKey = ({ ids, lossMask }: TokenizedRow, weights: Float32Array | undefined): string => {
  const hash = createHash("sha256").update(ids).update(lossMask)
  return (weights === undefined || weights.every((weight) => weight === 1) ? hash : hash.update(weights)).digest(
    "base64url"
  )
}
