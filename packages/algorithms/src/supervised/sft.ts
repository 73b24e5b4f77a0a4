import { collate } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { type Algorithm, type Dataset, splitUnits, unitBatches } from "@plumbline/training"
import { Effect, Stream } from "effect"
import { type SupervisedBatch, supervisedObjective } from "./negative-log-likelihood.ts"
import { SupervisedData, type SupervisedUnit } from "./supervised-data.ts"
import { nll, type TokenLoss } from "./token-loss.ts"

/**
 * Supervised fine-tuning: maximise the likelihood of the demonstrated tokens that the loss mask counts.
 *
 * @param loss of a token; its negative log-likelihood when absent
 *
 * @see Ouyang et al. 2022, §3.5, https://arxiv.org/abs/2203.02155
 */
export const sft = (
  loss: TokenLoss = nll
): Algorithm<{ readonly policy: CausalLM }, SupervisedBatch, never, Policy | SupervisedData> => ({
  name: "sft",
  config: { loss: loss.name },
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(SupervisedData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    Stream.unwrap(
      Effect.map(SupervisedData, (data) =>
        unitBatches(data.units, data.sampler, data.split, position).pipe(
          Stream.map((microBatches) => microBatches.map((units) => supervisedBatch(data, units)))
        )
      )
    ),
  heldOut: Effect.map(SupervisedData, (data) =>
    splitUnits(data.heldOut, data.split).map((units) => supervisedBatch(data, units))
  ),
  objective: supervisedObjective(loss)
})

const supervisedBatch = (data: Dataset<SupervisedUnit>, units: ReadonlyArray<SupervisedUnit>): SupervisedBatch => ({
  rows: collate(
    units.map(({ row }) => row),
    data
  ),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})
