import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Reward } from "@plumbline/reward-model"
import type { Generator, SamplingOptions } from "@plumbline/rollout-generation"
import type { Algorithm, OptionsInvalid, OutputUnwritable } from "@plumbline/training"
import { Effect, Stream } from "effect"
import type { Advantage } from "./advantages/advantage.ts"
import type { Aggregation } from "./aggregation.ts"
import { checkPolicyGradient } from "./check.ts"
import type { KlPenalty } from "./kl-penalty.ts"
import { policyGradientObjective } from "./policy-gradient-objective.ts"
import type { RolloutBatch } from "./rollout-batch.ts"
import type { CriticShape } from "./critic/critic.ts"
import type { RolloutTooOld } from "./rollout/age.ts"
import { rolloutBatches } from "./rollout/experience.ts"
import { rolloutLog } from "./rollout/rollout-log.ts"
import type { SamplerApart } from "./rollout/sampler-parity.ts"
import { work } from "./rollout/work.ts"
import type { WriteError } from "./rollout/write-rollout.ts"
import { PromptData } from "../responses/prompt-data.ts"
import type { SamplerCorrection } from "./sampler-correction.ts"
import type { Surrogate } from "./surrogates/surrogate.ts"

export interface PolicyGradientOptions<E = never, R = never> {
  readonly name: string
  readonly advantage: Advantage
  readonly surrogate: Surrogate
  readonly aggregation: Aggregation
  readonly kl?: KlPenalty<E, R> | undefined
  readonly correction?: SamplerCorrection | undefined
  readonly entropyCoefficient?: number
  /** Whether responses that were cut teach the policy nothing. */
  readonly maskTruncated?: boolean
  /** Responses to each prompt. */
  readonly samples: number
  readonly sampling: SamplingOptions
  /** Optimizer steps that share the prompts of a rollout; 1 when absent. */
  readonly minibatches?: number
  /** Times that each is gone over; 1 when absent. */
  readonly innerEpochs?: number
  /** Of the samples, and of the order of minibatches. */
  readonly seed: number
  /**
   * Rollouts that are written ahead, while steps are made on an earlier one; 0 when absent: each is written by the weights
   * that learn from it. Above, tokens are at most `staleness` rollouts' steps older than the weights, and need a
   * `correction`.
   */
  readonly staleness?: number
  /**
   * Other prompts that may be tried for each prompt of a rollout whose responses teach nothing, since their rewards are all
   * equal (DAPO's dynamic sampling); none when absent.
   */
  readonly dynamicSampling?: number | undefined
  /** Who says what reward is still to come; where the advantage needs it. */
  readonly critic?: Effect.Effect<CriticShape, E, R> | undefined
  /** Rollouts that teach the critic alone, before the first step; 0 when absent. */
  readonly criticWarmup?: number
  /** Newest rollouts whose responses and tokens stay in the store; 200 when absent. */
  readonly keepRollouts?: number
  /** Seconds; 600 when absent. */
  readonly generationTimeout?: number
  readonly rewardTimeout?: number
}

/** Options of an algorithm that brings a name, an advantage, a surrogate and an aggregation, each of which may be another. */
export type OnlineOptions<E = never, R = never> = Omit<
  PolicyGradientOptions<E, R>,
  "name" | "advantage" | "surrogate" | "aggregation"
> &
  Partial<Pick<PolicyGradientOptions<E, R>, "name" | "advantage" | "surrogate" | "aggregation">>

type Models = { readonly policy: CausalLM }
type PolicyGradientError = WriteError | RolloutTooOld | SamplerApart | OutputUnwritable | OptionsInvalid
type Needs = Policy | PromptData | Generator | Reward | Tokenizer

/**
 * The policy-gradient family: responses of the policy as it is now, judged, and a surrogate on their advantages.
 *
 * A rollout is followed by `minibatches · innerEpochs` steps on it, then comes the next one: no response is older than
 * that, but for `staleness`. Make one a run: it holds the rollout that is being learnt from, which goes with every checkpoint.
 */
export const policyGradient = <E = never, R = never>(
  options: PolicyGradientOptions<E, R>
): Algorithm<Models, RolloutBatch, PolicyGradientError | E, Needs | R> => {
  const { minibatches = 1, innerEpochs = 1, kl, sampling } = options
  const steps = minibatches * innerEpochs
  const bench = work<E, R>(kl?.coefficient.initial ?? 0, options.critic)
  let batches: ReadonlyArray<RolloutBatch> = []
  return {
    name: options.name,
    config: configOf(options),
    trainable: Effect.map(Policy, (policy) => ({ policy })),
    sampledFrom: ({ policy }) => policy,
    ...(kl !== undefined && { atFirst: { kl: { value: 0, perNat: 0.05 } } }),
    stepsPerExperience: steps,
    stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch * steps),
    check: checkPolicyGradient(options),
    experience: (position, end) =>
      Stream.tap(rolloutBatches(options, bench, position, end), (made) => Effect.sync(() => void (batches = made))),
    afterStep: Effect.fnUntraced(function* (step, _models, { observed }) {
      const last = step % steps === 0
      const { index, kl: measured, metrics, rows } = bench.rollout(Math.floor((step - 1) / steps))
      yield* (yield* rolloutLog).step(step, index, batches, observed)
      const all = { ...metrics, ...(kl !== undefined && { kl_coefficient: bench.klCoefficient() }) }
      if (last && kl !== undefined && measured !== undefined) {
        bench.setKlCoefficient(kl.coefficient.next(bench.klCoefficient(), measured, rows.length))
      }
      return last ? { ...all, ...(yield* bench.learnt) } : all
    }),
    attachment: bench.attachment,
    objective: policyGradientObjective({
      surrogate: options.surrogate,
      aggregation: options.aggregation,
      klInLoss: kl?.place === "loss" ? kl : undefined,
      correction: options.correction,
      entropyCoefficient: options.entropyCoefficient ?? 0,
      temperature: sampling.temperature
    })
  }
}

/** What was asked for, as plain data. */
const configOf = <E, R>({ critic: _critic, kl, sampling, ...options }: PolicyGradientOptions<E, R>): unknown => ({
  ...Object.fromEntries(Object.entries(options).map(([name, value]) => [name, plain(value)])),
  sampling,
  ...(kl !== undefined && {
    kl: { place: kl.place, estimator: kl.estimator.name, coefficient: kl.coefficient.options }
  })
})

const plain = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "options" in value && "name" in value
    ? { name: value.name, options: value.options }
    : value
