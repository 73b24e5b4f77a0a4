import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { constant, sumByRow } from "@plumbline/numerics"
import type { Reward, RewardError } from "@plumbline/reward-model"
import { type GenerationError, Generator } from "@plumbline/rollout-generation"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Algorithm, type Dataset, type LossSums, type Objective, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { responseSums } from "../preference/pair-log-probs.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { judged, type JudgedPromptUnit } from "../responses/judged-responses.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import { type ResponseOptions, writeResponses } from "../responses/responses.ts"
import { rolloutReport } from "../responses/rollout-report.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import { OpponentGenerator } from "./opponent-generator.ts"
import { type OwnBatch, ownBatch, type OwnUnit } from "./own-responses.ts"
import { type Reported, reporting, withReport } from "./reported.ts"

export interface A2poOptions extends Omit<ResponseOptions, "samples"> {
  /** β₁: how far the best of the reference's responses decide the value of a prompt. */
  readonly valueBeta: number
  /** β₂: reward that a nat from the reference policy is worth. */
  readonly beta: number
  /** N: responses of the reference that make a prompt's value. */
  readonly referenceSamples: number
}

/**
 * A*-PO: the log-ratio is regressed on the advantage over the best policy near the reference,
 *
 *   L = (β₂·(log π(y) − log π_ref(y)) − (r(y) − V*))²,   y ~ π,   V* = β₁·log mean_i exp(r_i/β₁),   y_i ~ π_ref
 *
 * With policy = reference it costs (r − V*)². A response that was not judged is not learnt from, nor is one to a prompt
 * none of whose reference responses was.
 *
 * Deviation from the paper: V* is estimated at the step that needs it, and anew in each epoch, not once before training.
 *
 * @see Brantley et al. 2025, https://arxiv.org/abs/2505.20686
 */
export const a2po = (
  options: A2poOptions
): Algorithm<
  { readonly policy: CausalLM },
  OwnBatch & Reported,
  GenerationError | RewardError,
  Policy | PromptData | Generator | OpponentGenerator | Reward | ReferenceLogProbs | Tokenizer
> => ({
  name: "a2po",
  config: options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => advantaged(data, units, step, options)),
  objective: reporting(a2poObjective(options))
})

/** `values` of a batch are advantages r − V*. */
export const a2poObjective = ({
  beta
}: Pick<A2poOptions, "beta">): Objective<{ readonly policy: CausalLM }, OwnBatch> => ({
  counts: ({ rows, values }) => ({ response: values.length, token: rows.scored.targets.length }),
  loss: ({ policy }, batch): LossSums => {
    const { referenceLogProbs, rows, values } = batch
    const scored = policy.tokenLogProbs(rows)
    const logRatios = tf.sub<Tensor1D>(responseSums(scored.logProbs, batch), tf.tensor1d(referenceLogProbs))
    const response = (of: Tensor1D) => ({ unit: "response", values: of })
    return {
      terms: [response(tf.square(tf.sub(tf.mul(beta, logRatios), tf.tensor1d(values))))],
      metrics: {
        kl: response(constant(logRatios)),
        entropy: { unit: "token", values: sumByRow(scored.entropy, rows.scored.rows, values.length) }
      }
    }
  }
})

/** V*: β₁·log mean exp(r/β₁), between the mean (β₁ → ∞) and the best (β₁ → 0). */
export const softValue = (rewards: ReadonlyArray<number>, beta: number): number => {
  const top = Math.max(...rewards)
  const mean = rewards.reduce((sum, reward) => sum + Math.exp((reward - top) / beta), 0) / rewards.length
  return top + beta * Math.log(mean)
}

const advantaged = Effect.fnUntraced(function* (
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: A2poOptions
) {
  const reference = yield* ReferenceLogProbs
  const prompts = units.map(({ row }) => row.ids)
  const shared = { ...options, maxLength: data.maxLength }
  const own = yield* writeResponses(prompts, step, { ...shared, samples: 1 })
  const others = { ...shared, samples: options.referenceSamples, seed: options.seed + 1 }
  const written = yield* writeResponses(prompts, step, others).pipe(
    Effect.provideService(Generator, yield* OpponentGenerator)
  )
  const groups = yield* judged(
    units,
    own.map(([first], i) => [first!, ...written[i]!])
  )
  const known = groups.flatMap((group) => advantagedUnit(group, options.valueBeta))
  const answers = groups.map(({ samples, unit }) => ({ unit, samples: samples.slice(0, 1) }))
  const report = { ...rolloutReport(answers), advantages: Float32Array.from(known, ({ value }) => value) }
  return yield* withReport(splitUnits(known, data.split), (part) => ownBatch(data, part, reference), report)
})

const advantagedUnit = (
  { samples: [own, ...others], unit }: JudgedPromptUnit,
  valueBeta: number
): ReadonlyArray<OwnUnit> => {
  const rewards = others.flatMap(({ reward }) => reward ?? [])
  if (own?.reward === undefined || rewards.length === 0) return []
  const { reward, row } = own
  return [{ row, value: reward - softValue(rewards, valueBeta), tokens: row.ids.length, origin: unit.origin }]
}
