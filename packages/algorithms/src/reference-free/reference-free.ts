import type { TokenizedPreference, TokenizedTriple } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { type Algorithm, type Dataset, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { PreferenceData } from "../preference/preference-data.ts"
import { referenceFreeBatch, type ReferenceFreeBatch, type RowUnit } from "./reference-free-batch.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { referenceFreeObjective } from "./reference-free-objective.ts"
import { TripleData } from "./triple-data.ts"

type PairAlgorithm<R> = Algorithm<{ readonly policy: CausalLM }, ReferenceFreeBatch, never, Policy | R>

/** Direct alignment on preference pairs without a reference policy: any `ReferenceFreeLoss`. */
export const referenceFree = (loss: ReferenceFreeLoss): PairAlgorithm<PreferenceData> =>
  pairAlgorithm(
    loss,
    Effect.map(PreferenceData, (data) => data)
  )

/** The same on pairs with gold responses, which the loss may imitate. */
export const referenceFreeTriples = (loss: ReferenceFreeLoss<TokenizedTriple>): PairAlgorithm<TripleData> =>
  pairAlgorithm(
    loss,
    Effect.map(TripleData, (data) => data)
  )

const pairAlgorithm = <Row extends TokenizedPreference, R>(
  loss: ReferenceFreeLoss<Row>,
  source: Effect.Effect<Dataset<RowUnit<Row>>, never, R>
): PairAlgorithm<R> => {
  const batches = (data: Dataset<RowUnit<Row>>) => (microBatches: ReadonlyArray<ReadonlyArray<RowUnit<Row>>>) =>
    microBatches.map((units) => referenceFreeBatch(data, units, loss.imitation))
  return {
    name: loss.name,
    config: loss.options,
    trainable: Effect.map(Policy, (policy) => ({ policy })),
    stepsPerEpoch: Effect.map(source, ({ sampler }) => sampler.stepsPerEpoch),
    experience: (position) =>
      Stream.unwrap(
        Effect.map(source, (data) =>
          unitBatches(data.units, data.sampler, data.split, position).pipe(Stream.map(batches(data)))
        )
      ),
    heldOut: Effect.map(source, (data) => batches(data)(splitUnits(data.heldOut, data.split))),
    objective: referenceFreeObjective(loss)
  }
}
