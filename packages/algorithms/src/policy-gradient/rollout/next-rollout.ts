import type { CausalLM } from "@plumbline/models"
import { Policy } from "@plumbline/models"
import { Clock, Effect } from "effect"
import { PromptData } from "../../responses/prompt-data.ts"
import type { CriticShape } from "../critic/critic.ts"
import type { PolicyGradientOptions } from "../policy-gradient.ts"
import { collectRollout } from "./collect.ts"
import { prepare } from "./prepare.ts"
import { rolloutLog } from "./rollout-log.ts"
import { rolloutMetrics } from "./rollout-metrics.ts"
import type { Rollout } from "./rollout.ts"
import { checkSampler } from "./sampler-parity.ts"
import type { WorkingRollout } from "./work.ts"

/** What a rollout is made with. */
export interface Making {
  readonly klCoefficient: number
  readonly critic: CriticShape | undefined
  /** Names the stream its samples are drawn from. */
  readonly stream: string
  /** Whether the sampler is held against the policy first. */
  readonly checked: boolean
}

/** Collects a rollout and computes what its steps need. */
export const nextRollout = Effect.fn("nextRollout")(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  index: number,
  { checked, critic, klCoefficient, stream }: Making
) {
  const { maxLength = Infinity, sampler, units } = yield* PromptData
  const prompts = Array.from(sampler.indices(index), (unit) => units[unit]!)
  const rollout = yield* collectRollout(index, prompts, {
    samples: options.samples,
    sampling: options.sampling,
    maxLength,
    seed: options.seed,
    greedy: options.advantage.needs === "greedy",
    generationTimeout: options.generationTimeout ?? 600,
    rewardTimeout: options.rewardTimeout ?? 600,
    stream,
    critic
  })
  const policy = yield* Policy
  if (checked) yield* checkSampler(rollout, policy, options.sampling, yield* computing)
  const working = yield* prepared(options, rollout, policy, klCoefficient)
  yield* (yield* rolloutLog).prepared(index, working.rows, options.keepRollouts ?? 200)
  return working
})

/** How the data are computed on. */
export const computing = Effect.map(PromptData, ({ layout, padId, split }) => ({ layout, padId, split }))

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
    measuresKl: kl?.coefficient.adaptive ?? false
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
