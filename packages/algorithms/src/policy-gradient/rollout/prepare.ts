import type { CausalLM } from "@plumbline/models"
import { tf } from "@plumbline/runtime"
import type { Advantage, Advantages, RewardedResponses } from "../advantages/advantage.ts"
import type { NamedEstimator } from "../kl-penalty.ts"
import { responseRow } from "../../responses/responses.ts"
import type { RolloutRow } from "../rollout-batch.ts"
import type { Rollout, RolloutResponse } from "./rollout.ts"
import { type Computing, rowLogProbs } from "./token-log-probs.ts"

/** Why the policy does not learn from a response. */
export type MaskReason = "truncated" | "no reward"

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
}

/** A response before anything was computed of it. */
export interface Listed {
  readonly number: number
  readonly group: number
  readonly sample: number
  readonly origin: string
  readonly promptIds: Int32Array
  readonly response: RolloutResponse
  readonly greedyReward: number | undefined
}

/** The responses of a rollout, numbered in order. */
export const listed = ({ groups, index }: Rollout): ReadonlyArray<Listed> => {
  const responses = groups.flatMap(({ greedyReward, origin, promptIds, responses }, group) =>
    responses.map((response, sample) => ({ group, sample, origin, promptIds, response, greedyReward }))
  )
  return responses.map((one, number) => ({
    ...one,
    number,
    origin: `${one.origin}, rollout ${index}, sample ${one.sample}`
  }))
}

/** Advantages of a whole rollout, and log-probs as they are before the first step on it. */
export const prepare = (rollout: Rollout, options: PrepareOptions): Prepared => {
  const responses = listed(rollout)
  const rows = responses.map(({ promptIds, response }) => responseRow(promptIds, response.responseIds))
  const { klInReward, measuresKl, policy, reference, reused, temperature } = options
  const measured = measuresKl || klInReward !== undefined
  const old = measured || reused ? rowLogProbs(policy, rows, options, temperature) : undefined
  const near = reference === undefined ? undefined : rowLogProbs(reference, rows, options, temperature)
  const penalties = klInReward && old!.map((own, r) => penalty(own, near![r]!, klInReward))
  const { advantages, rewards } = advantagesOf(responses, penalties, options)
  return {
    rows: responses.map((one, r) => {
      const maskedBecause = reasonOf(one.response, options)
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
    kl: measured && near !== undefined ? meanKl(old!, near) : undefined
  }
}

const reasonOf = ({ ended, reward }: RolloutResponse, { maskTruncated }: PrepareOptions): MaskReason | undefined => {
  if (reward === undefined) return "no reward"
  return maskTruncated && !ended ? "truncated" : undefined
}

const penalty = (
  old: Float32Array,
  reference: Float32Array,
  { coefficient, estimator }: NonNullable<PrepareOptions["klInReward"]>
): Float64Array => {
  const estimates = tf.tidy(
    () => estimator.estimate(tf.tensor1d(old), tf.tensor1d(reference)).dataSync() as Float32Array
  )
  return Float64Array.from(estimates, (estimate) => -coefficient * estimate)
}

const meanKl = (old: ReadonlyArray<Float32Array>, reference: ReadonlyArray<Float32Array>): number =>
  old.reduce((sum, own, r) => sum + own.reduce((row, value, t) => row + value - reference[r]![t]!, 0), 0) / old.length

/** Of the judged responses; the others have none, and are in nobody's baseline. */
const advantagesOf = (
  responses: ReadonlyArray<Listed>,
  penalties: ReadonlyArray<Float64Array> | undefined,
  { advantage }: PrepareOptions
) => {
  const judged = responses.filter(({ response }) => response.reward !== undefined)
  const lengths = judged.map(({ response }) => response.responseIds.length)
  const given: RewardedResponses = {
    groups: Int32Array.from(judged, ({ group }) => group),
    rewards: Float64Array.from(judged, ({ response }) => response.reward!),
    parts: partsOf(judged),
    masks: lengths.map((length) => new Uint8Array(length).fill(1)),
    tokenRewards: penalties && judged.map(({ number }) => penalties[number]!),
    ended: Uint8Array.from(judged, ({ response }) => (response.ended ? 1 : 0)),
    values: judged[0]?.response.values && judged.map(({ response }) => response.values!),
    greedyRewards: Float64Array.from(judged, ({ greedyReward }) => greedyReward ?? 0)
  }
  const found = advantage.of(given)
  const rewards: Array<number | undefined> = responses.map(() => undefined)
  const tokens: Array<Float64Array> = responses.map(() => new Float64Array(0))
  const returns: Array<Float64Array> = responses.map(() => new Float64Array(0))
  judged.forEach(({ number, response }, i) => {
    const own = penalties?.[number]?.reduce((sum, value) => sum + value, 0) ?? 0
    rewards[number] = response.reward! + own
    tokens[number] = found.tokens[i]!
    if (found.returns !== undefined) returns[number] = found.returns[i]!
  })
  const advantages: Advantages = { tokens, returns }
  return { advantages, rewards }
}

const partsOf = (judged: ReadonlyArray<Listed>): RewardedResponses["parts"] => {
  const names = judged[0]?.response.parts.map(({ name }) => name) ?? []
  return Object.fromEntries(
    names.map((name, i) => [name, Float64Array.from(judged, ({ response }) => response.parts[i]!.value!)])
  )
}
