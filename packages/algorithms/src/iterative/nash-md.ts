import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import { constant, sumByRow } from "@plumbline/numerics"
import type { Reward, RewardError } from "@plumbline/reward-model"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import { tf, type Tensor1D } from "@plumbline/runtime"
import { type Algorithm, type Dataset, type LossSums, type Objective, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { responseSums } from "../preference/pair-log-probs.ts"
import { ReferenceLogProbs } from "../preference/reference-log-probs.ts"
import { PromptData, type PromptUnit } from "../responses/prompt-data.ts"
import type { ResponseOptions } from "../responses/responses.ts"
import { writtenBatches } from "../responses/written-batches.ts"
import type { DuelPreference } from "./duel-preference.ts"
import { type Duel, writeDuels } from "./duels.ts"
import type { OpponentGenerator } from "./opponent-generator.ts"
import { type OwnBatch, ownBatch, type OwnUnit } from "./own-responses.ts"
import { type Reported, reporting, withReport } from "./reported.ts"
import { rolloutReport } from "../responses/rollout-report.ts"

export interface NashMdOptions extends Omit<ResponseOptions, "samples"> {
  /** τ: strength of the pull toward the reference policy. */
  readonly beta: number
  /** What the rewards of two responses say of which is preferred. */
  readonly preference: DuelPreference
}

/**
 * Nash-MD: the policy learns to win against a mixture of itself and the reference, which finds the Nash equilibrium of a
 * preference that no reward need explain,
 *
 *   L = −(P(y ≻ y′) − ½ − τ·sg(log π(y) − log π_ref(y)))·log π(y),   y ~ π,  y′ ~ π^(1−β)·π_ref^β token by token
 *
 * Its gradient is the policy gradient of P(π ≻ π′) − τ·KL(π ‖ π_ref) with π′ held; its value means nothing. The mixture is
 * that of `OpponentGenerator.layerMixture`. A duel that was not judged is not learnt from.
 *
 * @see Munos et al. 2023, §7 (Nash-MD-PG), https://arxiv.org/abs/2312.00886
 */
export const nashMd = (
  options: NashMdOptions
): Algorithm<
  { readonly policy: CausalLM },
  OwnBatch & Reported,
  GenerationError | RewardError,
  Policy | PromptData | Generator | OpponentGenerator | Reward | ReferenceLogProbs | Tokenizer
> => ({
  name: "nash-md",
  config: { ...options, preference: options.preference.name },
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => fought(data, units, step, options)),
  objective: reporting(nashMdObjective(options))
})

/** `values` of a batch are P(y ≻ y′), y′ the opponent's response to the same prompt. */
export const nashMdObjective = ({
  beta
}: Pick<NashMdOptions, "beta">): Objective<{ readonly policy: CausalLM }, OwnBatch> => ({
  counts: ({ rows, values }) => ({ response: values.length, token: rows.scored.targets.length }),
  loss: ({ policy }, batch): LossSums => {
    const { referenceLogProbs, rows, values: preferences } = batch
    const scored = policy.tokenLogProbs(rows)
    const logProbs = responseSums(scored.logProbs, batch)
    const logRatios = constant(tf.sub<Tensor1D>(logProbs, tf.tensor1d(referenceLogProbs)))
    const gains = tf.sub(tf.sub(tf.tensor1d(preferences), 0.5), tf.mul(beta, logRatios))
    const response = (values: Tensor1D) => ({ unit: "response", values })
    return {
      terms: [response(tf.neg(tf.mul<Tensor1D>(gains, logProbs)))],
      metrics: {
        kl: response(logRatios),
        "logps/policy": response(logProbs),
        entropy: { unit: "token", values: sumByRow(scored.entropy, rows.scored.rows, preferences.length) }
      }
    }
  }
})

const fought = Effect.fnUntraced(function* (
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: NashMdOptions
) {
  const reference = yield* ReferenceLogProbs
  const duels = yield* writeDuels(data, units, step, options)
  const known = duels.flatMap((duel) => foughtUnit(duel, options.preference))
  const report = { ...rolloutReport(duels), preference: Float32Array.from(known, ({ value }) => value) }
  return yield* withReport(splitUnits(known, data.split), (part) => ownBatch(data, part, reference), report)
})

const foughtUnit = ({ samples: [own, other], unit }: Duel, preference: DuelPreference): ReadonlyArray<OwnUnit> => {
  if (own.reward === undefined || other.reward === undefined) return []
  const { row } = own
  return [{ row, value: preference.of(own.reward, other.reward), tokens: row.ids.length, origin: unit.origin }]
}
