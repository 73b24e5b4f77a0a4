import type { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import type { Reward } from "@plumbline/reward-model"
import type { Generator, SamplingOptions } from "@plumbline/rollout-generation"
import type { Algorithm, OptionsInvalid, OutputUnwritable } from "@plumbline/training"
import { Clock, Effect, Stream } from "effect"
import type { Advantage } from "./advantages/advantage.ts"
import type { Aggregation } from "./aggregation.ts"
import { checkPolicyGradient } from "./check.ts"
import type { KlPenalty } from "./kl-penalty.ts"
import { policyGradientObjective } from "./policy-gradient-objective.ts"
import type { RolloutBatch } from "./rollout-batch.ts"
import { type CollectError, collectRollout } from "./rollout/collect.ts"
import { minibatch } from "./rollout/minibatch.ts"
import { prepare } from "./rollout/prepare.ts"
import { PromptData } from "../iterative/prompt-data.ts"
import { rolloutMetrics } from "./rollout/rollout-metrics.ts"
import type { Rollout } from "./rollout/rollout.ts"
import { work, type WorkingRollout } from "./rollout/work.ts"
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
type Needs = Policy | PromptData | Generator | Reward | Tokenizer

/**
 * The policy-gradient family: responses of the policy as it is now, judged, and a surrogate on their advantages.
 *
 * A rollout is followed by `minibatches · innerEpochs` steps on it, then comes the next one: no response is older than
 * that. Make one a run: it holds the rollout that is being learnt from, which goes with every checkpoint.
 */
export const policyGradient = <E = never, R = never>(
  options: PolicyGradientOptions<E, R>
): Algorithm<Models, RolloutBatch, CollectError | OutputUnwritable | OptionsInvalid | E, Needs | R> => {
  const { minibatches = 1, innerEpochs = 1, kl, sampling } = options
  const steps = minibatches * innerEpochs
  const bench = work(kl?.coefficient.initial ?? 0)
  return {
    name: options.name,
    config: configOf(options),
    trainable: Effect.map(Policy, (policy) => ({ policy })),
    stepsPerEpoch: Effect.map(PromptData, ({ sampler }) => sampler.stepsPerEpoch * steps),
    check: checkPolicyGradient(options),
    experience: (position) => {
      bench.begin()
      return Stream.iterate(position, (step) => step + 1).pipe(
        Stream.mapEffect(
          Effect.fnUntraced(function* (step) {
            const inner = step % steps
            if (inner === 0) bench.take(yield* nextRollout(options, step / steps, bench.klCoefficient()))
            return minibatch(bench.rollout(Math.floor(step / steps)), {
              ...(yield* computing),
              minibatches,
              inner,
              seed: options.seed,
              klCoefficient: kl?.place === "loss" ? bench.klCoefficient() : 0
            })
          })
        )
      )
    },
    afterStep: (step) =>
      Effect.sync(() => {
        const { kl: measured, metrics, rows } = bench.rollout(Math.floor((step - 1) / steps))
        const all = { ...metrics, ...(kl === undefined ? {} : { kl_coefficient: bench.klCoefficient() }) }
        if (step % steps === 0 && kl !== undefined && measured !== undefined) {
          bench.setKlCoefficient(kl.coefficient.next(bench.klCoefficient(), measured, rows.length))
        }
        return all
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

const computing = Effect.map(PromptData, ({ layout, padId, split }) => ({ layout, padId, split }))

/** Collects a rollout and computes what its steps need. */
const nextRollout = Effect.fnUntraced(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  index: number,
  klCoefficient: number
) {
  const { maxLength = Infinity, sampler, units } = yield* PromptData
  const policy = yield* Policy
  const prompts = Array.from(sampler.indices(index), (unit) => units[unit]!)
  const rollout = yield* collectRollout(index, prompts, {
    samples: options.samples,
    sampling: options.sampling,
    maxLength,
    seed: options.seed,
    greedy: options.advantage.needs === "greedy",
    generationTimeout: options.generationTimeout ?? 600,
    rewardTimeout: options.rewardTimeout ?? 600
  })
  return yield* prepared(options, rollout, policy, klCoefficient)
})

const prepared = Effect.fnUntraced(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  rollout: Rollout,
  policy: CausalLM,
  coefficient: number
) {
  const { kl, innerEpochs = 1, minibatches = 1 } = options
  const begun = yield* Clock.currentTimeMillis
  const { kl: measured, rows } = prepare(rollout, {
    ...(yield* computing),
    advantage: options.advantage,
    maskTruncated: options.maskTruncated ?? false,
    temperature: options.sampling.temperature,
    reused: minibatches * innerEpochs > 1,
    policy,
    reference: kl === undefined ? undefined : yield* kl.reference,
    klInReward: kl?.place === "reward" ? { coefficient, estimator: kl.estimator } : undefined,
    measuresKl: kl?.coefficient.adaptive ?? false,
    values: undefined
  })
  const seconds = ((yield* Clock.currentTimeMillis) - begun) / 1000
  const working: WorkingRollout = {
    index: rollout.index,
    rows,
    kl: measured,
    metrics: {
      ...rollout.measured,
      "timers/log_probs": seconds,
      ...rolloutMetrics(rollout, rows, policy.version.current()),
      ...(measured !== undefined && { "rollout/kl": measured })
    }
  }
  return working
})

/** What was asked for, as plain data. */
const configOf = <E, R>({ kl, sampling, ...options }: PolicyGradientOptions<E, R>): unknown => ({
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
