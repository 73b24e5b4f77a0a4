import { type CausalLM, Policy } from "@plumbline/models"
import { Processes } from "@plumbline/runtime"
import { Clock, Duration, Effect } from "effect"
import { PromptData } from "../../responses/prompt-data.ts"
import type { PolicyGradientOptions } from "../policy-gradient.ts"
import { agesOf, checkAge } from "./age.ts"
import { prepare } from "./prepare.ts"
import { rolloutLog } from "./rollout-log.ts"
import { rolloutMetrics } from "./rollout-metrics.ts"
import type { Rollout } from "./rollout.ts"
import { checkSampler } from "./sampler-parity.ts"
import type { WorkingRollout } from "./work.ts"

/** What a rollout is prepared with. */
export interface Preparing {
  readonly klCoefficient: number
  /** Whether the sampler is held against the policy first. */
  readonly checked: boolean
  /** Since the steps before. */
  readonly waited: Duration.Duration
}

/** Computes what the steps on a rollout need. */
export const prepareRollout = Effect.fn("prepareRollout")(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  rollout: Rollout,
  { checked, klCoefficient, waited }: Preparing
) {
  const policy = yield* Policy
  const version = policy.version.current()
  const { innerEpochs = 1, minibatches = 1, staleness = 0 } = options
  yield* checkAge(rollout, version, staleness * minibatches * innerEpochs)
  // older weights may well be apart
  const own = agesOf(rollout, version).every((age) => age === 0)
  if (checked && own) yield* checkSampler(rollout, policy, options.sampling, yield* computing)
  const prepared = yield* computed(options, rollout, policy, klCoefficient)
  const metrics = { ...prepared.metrics, "timers/wait": Duration.toSeconds(waited) }
  const working: WorkingRollout = { ...prepared, metrics }
  yield* (yield* rolloutLog).prepared(rollout, working.rows, options.keepRollouts ?? 200)
  return working
})

/** How the data are computed on. */
export const computing = Effect.gen(function* () {
  const { layout, padId, split } = yield* PromptData
  return { layout, padId, split, processes: yield* Processes }
})

const computed = Effect.fnUntraced(function* <E, R>(
  options: PolicyGradientOptions<E, R>,
  rollout: Rollout,
  policy: CausalLM,
  coefficient: number
) {
  const { kl, innerEpochs = 1, minibatches = 1 } = options
  const begun = yield* Clock.currentTimeMillis
  const {
    kl: measured,
    klByToken,
    rows
  } = prepare(rollout, {
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
      ...(klByToken !== undefined && { kl: klByToken }),
      ...(measured !== undefined && { "rollout/kl": measured })
    }
  }
  return working
})
