import type { Tokenizer } from "@plumbline/data"
import { type TokenizedRow } from "@plumbline/data"
import type { ReferencePolicy } from "@plumbline/models"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Generator } from "@plumbline/rollout-generation"
import { type GenerationError } from "@plumbline/rollout-generation"
import { type Algorithm, type Dataset, type Objective, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { pairsAtFirst } from "../preference/at-first.ts"
import { dpo } from "../preference/dpo.ts"
import { movingReference } from "../preference/moving-reference.ts"
import type { PairBatch } from "../preference/pair-batch.ts"
import type { PairUnit } from "../preference/preference-data.ts"
import { preferenceObjective } from "../preference/preference-objective.ts"
import { pairBatch, ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { lastAnswer } from "../supervised/last-answer.ts"
import { SupervisedData, type SupervisedUnit } from "../supervised/supervised-data.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import { type ResponseOptions, type WrittenResponse, writeResponses } from "../responses/responses.ts"

export interface SpinOptions extends Omit<ResponseOptions, "samples"> {
  /** λ: strength of the pull toward the opponent, by iteration; the last one holds from then on. */
  readonly beta: number | readonly [number, ...Array<number>]
  /** Steps of an iteration; after each the opponent becomes the policy as it is then. */
  readonly iterationSteps: number
}

/** Pairs of one iteration. */
export interface SpinBatch extends PairBatch {
  /** Strength of the pull toward the opponent in this iteration. */
  readonly beta: number
}

/**
 * SPIN: the policy learns to tell demonstrations from what its opponent, itself at the start of the iteration, writes
 * to the same prompts,
 *
 *   L = −log σ(β·([log π(y) − log π_opponent(y)] − [log π(y′) − log π_opponent(y′)])),   y′ ~ π_opponent(· | x)
 *
 * `Generator` must be that of the `ReferencePolicy`, which is the opponent and has variables (`layerMovable`); it is in every checkpoint, so a run
 * that was stopped within an iteration goes on exactly. Of a chat with several answers the last one is learnt.
 *
 * Held-out demonstrations are played against the opponent as it is, which is the policy itself at the end of an iteration:
 * there `eval_loss` is ln 2, and `eval_logps/chosen` tells more.
 *
 * Deviations from the paper: an iteration learns from its own opponent's responses, not also from those of the one
 * before; moments and learning rate go on from iteration to iteration.
 *
 * @see Chen et al. 2024, Algorithm 1, eq. 4.7, https://arxiv.org/abs/2401.01335
 */
export const spin = (
  options: SpinOptions
): Algorithm<
  { readonly policy: CausalLM },
  SpinBatch & Reported,
  GenerationError,
  Policy | SupervisedData | Generator | ReferencePolicy | ReferenceLogProbs | Tokenizer
> => ({
  ...movingReference(selfPlay(options), { every: options.iterationSteps, mixup: 1 }),
  name: "spin",
  config: options
})

/** The game against an opponent that stays. */
const selfPlay = (
  options: SpinOptions
): Algorithm<
  { readonly policy: CausalLM },
  SpinBatch & Reported,
  GenerationError,
  Policy | SupervisedData | Generator | ReferenceLogProbs | Tokenizer
> => ({
  name: "self-play",
  config: options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  atFirst: pairsAtFirst(dpo({ beta: betaAt(0, options) })),
  stepsPerEpoch: Effect.map(SupervisedData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(SupervisedData, position, (data, units, step) => gamePairs(data, units, step, options)),
  // the opponent has other weights in each iteration, so it writes anew; its random numbers and β stay those of step 0
  heldOut: Effect.flatMap(SupervisedData, (data) =>
    data.heldOut.length === 0 ? Effect.succeed([]) : gamePairs(data, data.heldOut, 0, options)
  ),
  objective: reporting(spinObjective)
})

const spinObjective: Objective<{ readonly policy: CausalLM }, SpinBatch> = {
  counts: (batch) => preferenceObjective(dpo({ beta: batch.beta })).counts(batch),
  loss: (models, batch) => preferenceObjective(dpo({ beta: batch.beta })).loss(models, batch)
}

const betaAt = (step: number, { beta, iterationSteps }: SpinOptions): number =>
  typeof beta === "number" ? beta : beta[Math.min(Math.floor(step / iterationSteps), beta.length - 1)]!

const gamePairs = Effect.fnUntraced(function* (
  data: Dataset<SupervisedUnit>,
  units: ReadonlyArray<SupervisedUnit>,
  step: number,
  options: SpinOptions
) {
  const reference = yield* ReferenceLogProbs
  const demonstrated = units.map(({ row }) => lastAnswer(row))
  const written = yield* writeResponses(
    demonstrated.map(({ prompt }) => prompt),
    step,
    { ...options, samples: 1, maxLength: data.maxLength }
  )
  const pairs = units.map((unit, i) => pairUnit(unit, demonstrated[i]!.answer, written[i]![0]!))
  const beta = betaAt(step, options)
  const batch = (part: ReadonlyArray<PairUnit>): SpinBatch => ({ ...pairBatch(data, part, reference), beta })
  const lengths = Float32Array.from(written, ([sample]) => sample!.response.responseIds.length)
  return yield* withReport(splitUnits(pairs, data.split), batch, {
    "completions/mean_length": lengths,
    beta: Float32Array.of(beta)
  })
})

const pairUnit = ({ origin }: SupervisedUnit, chosen: TokenizedRow, { row: rejected }: WrittenResponse): PairUnit => ({
  row: { chosen, rejected },
  tokens: chosen.ids.length + rejected.ids.length,
  origin
})
