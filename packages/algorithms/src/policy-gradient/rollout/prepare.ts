import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import { type Advantage, type Advantages, mean } from "../advantages/advantage.ts"
import type { NamedEstimator } from "../kl-penalty.ts"
import { responseRow } from "../../responses/responses.ts"
import type { RolloutRow } from "../rollout-batch.ts"
import { type Listed, listed, rewarded } from "./listed.ts"
import { type MaskReason, maskReason } from "./mask-reason.ts"
import type { Rollout } from "./rollout.ts"
import { type Computing, rowLogProbs } from "./token-log-probs.ts"

/** A response with everything that the steps on its rollout need, and nothing that needs a model. */
export interface PreparedRow extends RolloutRow {
  /** Number of its prompt in the rollout. */
  readonly group: number
  readonly sample: number
  readonly maskedBecause: MaskReason | undefined
  /** Its reward with penalties; absent where there is none. */
  readonly reward: number | undefined
  /** Its tokens' values and returns, for a critic; empty where there is none. */
  readonly values: Float32Array
  readonly returns: Float32Array
}

export interface PrepareOptions extends Computing {
  readonly advantage: Advantage
  /** Whether responses that were cut teach the policy nothing. They still count in baselines, and teach a critic. */
  readonly maskTruncated: boolean
  readonly temperature: number
  /** Whether several steps share the rollout, so that the policy moves away from it. */
  readonly reused: boolean
  readonly policy: CausalLM
  readonly reference: CausalLM | undefined
  /** Taken from the reward of each token. */
  readonly klInReward: { readonly coefficient: number; readonly estimator: NamedEstimator } | undefined
  /** Whether the KL of the rollout is measured before the first step on it. */
  readonly measuresKl: boolean
}

export interface Prepared {
  /** Every response of the rollout, in order. */
  readonly rows: ReadonlyArray<PreparedRow>
  /** Mean KL of a response, nats, the sum of k1 over its tokens; where it is measured. */
  readonly kl: number | undefined
  /** Mean estimate by token, as it is taken from rewards; where it is. */
  readonly klByToken: number | undefined
}

/** Advantages of a whole rollout, and log-probs as they are before the first step on it. */
export const prepare = (rollout: Rollout, options: PrepareOptions): Prepared => {
  const responses = listed(rollout)
  const rows = responses.map(({ promptIds, response }) => responseRow(promptIds, response.responseIds))
  const { klInReward, measuresKl, policy, reference, reused, temperature } = options
  const measured = measuresKl || klInReward !== undefined
  const old = measured || reused ? rowLogProbs(policy, rows, options, temperature) : undefined
  const near = reference === undefined ? undefined : rowLogProbs(reference, rows, options, temperature)
  const estimates = klInReward && old!.map((own, r) => estimatesOf(own, near![r]!, klInReward.estimator))
  const penalties = estimates?.map((own) => own.map((estimate) => -klInReward!.coefficient * estimate))
  const { advantages, rewards } = advantagesOf(responses, penalties, options)
  return {
    rows: responses.map((one, r) => {
      const maskedBecause = maskReason(one.response, options.maskTruncated)
      const silent = maskedBecause !== undefined
      return {
        number: one.number,
        group: one.group,
        sample: one.sample,
        origin: one.origin,
        row: silent ? { ids: rows[r]!.ids, lossMask: rows[r]!.lossMask.map(() => 0) } : rows[r]!,
        maskedBecause,
        reward: rewards[r],
        advantages: Float32Array.from(advantages.tokens[r]!),
        values: one.response.values ?? new Float32Array(0),
        returns: Float32Array.from(advantages.returns?.[r] ?? []),
        oldLogProbs: reused ? old![r] : undefined,
        samplingLogProbs: one.response.samplingLogProbs,
        referenceLogProbs: near?.[r]
      }
    }),
    kl: measured && near !== undefined && rows.length > 0 ? meanKl(old!, near) : undefined,
    klByToken: estimates && mean(estimates.flatMap((own) => [...own]))
  }
}

const estimatesOf = (old: Float32Array, reference: Float32Array, { estimate }: NamedEstimator): Float64Array =>
  Float64Array.from(tf.tidy(() => estimate(tf.tensor1d(old), tf.tensor1d(reference)).dataSync() as Float32Array))

const meanKl = (old: ReadonlyArray<Float32Array>, reference: ReadonlyArray<Float32Array>): number =>
  old.reduce((sum, own, r) => sum + own.reduce((row, value, t) => row + value - reference[r]![t]!, 0), 0) / old.length

/** Of the judged responses; the others have none, and are in nobody's baseline. */
const advantagesOf = (
  responses: ReadonlyArray<Listed>,
  penalties: ReadonlyArray<Float64Array> | undefined,
  { advantage }: PrepareOptions
) => {
  const judged = responses.filter(({ response }) => response.reward !== undefined)
  const found = advantage.of(rewarded(judged, penalties))
  const rewards: Array<number | undefined> = responses.map(() => undefined)
  const tokens: Array<Float64Array> = responses.map(() => new Float64Array(0))
  const returns: Array<Float64Array> = responses.map(() => new Float64Array(0))
  judged.forEach(({ at, response }, i) => {
    const own = penalties?.[at]?.reduce((sum, value) => sum + value, 0) ?? 0
    rewards[at] = response.reward! + own
    tokens[at] = found.tokens[i]!
    if (found.returns !== undefined) returns[at] = found.returns[i]!
  })
  const advantages: Advantages = { tokens, returns }
  return { advantages, rewards }
}
