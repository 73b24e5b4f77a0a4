import type { DataError, Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy, type ReferencePolicy } from "@plumbline/models"
import type { GenerationError, Generator } from "@plumbline/rollout-generation"
import { type Algorithm, type Dataset, splitUnits } from "@plumbline/training"
import { Effect } from "effect"
import { pairsAtFirst } from "../../preference/at-first.ts"
import { movingReference } from "../../preference/moving-reference.ts"
import type { PairBatch } from "../../preference/pair-batch.ts"
import type { PairUnit } from "../../preference/preference-data.ts"
import type { PreferenceLoss } from "../../preference/preference-loss.ts"
import { preferenceObjective } from "../../preference/preference-objective.ts"
import { pairBatch, ReferenceLogProbs } from "../../preference/reference-log-probs.ts"
import { PromptData, type PromptUnit } from "../../responses/prompt-data.ts"
import type { ResponseOptions } from "../../responses/responses.ts"
import { writtenBatches } from "../../responses/written-batches.ts"
import { type Reported, reporting, withReport } from "../reported.ts"
import { rolloutReport } from "../../responses/rollout-report.ts"
import { actAndJudge } from "./act-and-judge.ts"
import { chosenPair, judgementPairs } from "./judgement-pairs.ts"
import type { JudgeWords } from "./judgements.ts"
import type { MetaJudgeWords } from "./meta-judge.ts"

export interface MetaRewardingOptions extends ResponseOptions {
  /** Steps of an iteration; after each, actor, judge, meta-judge and reference are the policy as it is then. */
  readonly iterationSteps: number
  /** ρ of `lengthControlled`, for responses. */
  readonly lengthControl: number
  /** Judgements of each response. */
  readonly evaluations: number
  /** How judgements and verdicts are sampled. */
  readonly judgeSampling: ResponseOptions["sampling"]
  /** Share of a step's prompts whose judgements are compared: those in which the judge is least sure. */
  readonly metaShare: number
  /** Iterations that learn from judgements, too; all when absent. */
  readonly judgeIterations?: number | undefined
  readonly judge: JudgeWords
  readonly metaJudge: MetaJudgeWords
}

/**
 * Meta-rewarding: the model of the iteration before, M_t, writes responses, judges each several times, and judges its
 * judgements. M_{t+1} is M_t after a preference loss, with M_t for a reference, on two kinds of pairs at once:
 *
 *   responses:   the best against the worst by mean rating, with length control
 *   judgements:  of the response whose ratings vary most, the one of the highest Elo score against that of the lowest;
 *                scores are fitted to battles of every two judgements in both orders, freed of a liking for either place
 *
 * `Generator` is that of the `ReferencePolicy`, which has variables (`layerMovable`) and is in every checkpoint.
 *
 * Deviations from the paper: pairs are made as training goes, not all at an iteration's start (they are the same, for M_t
 * does not move within it), and places are weighed over a step's battles; a question that the context does not hold has no
 * answer, and a response or judgement without one is not learnt from.
 *
 * @see Wu et al. 2024, §2, https://arxiv.org/abs/2407.19594
 */
export const metaRewarding = (
  loss: PreferenceLoss,
  options: MetaRewardingOptions
): Algorithm<
  { readonly policy: CausalLM },
  PairBatch & Reported,
  GenerationError | DataError,
  Policy | ReferencePolicy | PromptData | Generator | ReferenceLogProbs | Tokenizer
> => {
  const { judge: _judge, metaJudge: _metaJudge, ...recorded } = options
  return {
    ...movingReference(withinIteration(loss, options), { every: options.iterationSteps, mixup: 1 }),
    name: "meta-rewarding",
    config: { loss: loss.options, ...recorded, scale: options.judge.scale }
  }
}

const withinIteration = (
  loss: PreferenceLoss,
  options: MetaRewardingOptions
): Algorithm<
  { readonly policy: CausalLM },
  PairBatch & Reported,
  GenerationError | DataError,
  Policy | PromptData | Generator | ReferenceLogProbs | Tokenizer
> => ({
  name: "meta-rewarding",
  config: loss.options,
  trainable: Effect.map(Policy, (policy) => ({ policy })),
  atFirst: pairsAtFirst(loss),
  stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch),
  experience: (position) =>
    writtenBatches(PromptData, position, (data, units, step) => bothKinds(loss, data, units, step, options)),
  objective: reporting(preferenceObjective(loss))
})

const bothKinds = Effect.fnUntraced(function* (
  { tailWeight }: PreferenceLoss,
  data: Dataset<PromptUnit>,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: MetaRewardingOptions
) {
  const reference = yield* ReferenceLogProbs
  const acted = yield* actAndJudge(data, units, step, options)
  const { iterationSteps, judgeIterations = Infinity } = options
  const learnsToJudge = step < judgeIterations * iterationSteps
  const meta = yield* judgementPairs(learnsToJudge ? acted : [], step, options)
  const responsePairs = acted.map(({ judged }) => chosenPair(judged, options.lengthControl))
  const batch = (part: ReadonlyArray<PairUnit>) => pairBatch(data, part, reference, tailWeight)
  return yield* withReport(splitUnits([...responsePairs.flat(), ...meta.pairs], data.split), batch, {
    ...rolloutReport(acted.map(({ judged }) => judged)),
    "pairs/used": Float32Array.from(responsePairs, ({ length }) => length),
    "judgements/read": Float32Array.from(
      acted.flatMap(({ judgements }) => judgements.flat()),
      ({ rating }) => (rating === undefined ? 0 : 1)
    ),
    ...meta.report
  })
})
