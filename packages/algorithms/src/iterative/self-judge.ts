import { Tokenizer } from "@plumbline/data"
import { ensemble, pointwiseJudge, type PointwiseJudgeOptions, Reward } from "@plumbline/reward-model"
import { Generator, samplingOptions } from "@plumbline/rollout-generation"
import { Effect, Layer } from "effect"
import { deadlineOf } from "../responses/rollout-fields.ts"

export interface SelfJudgeOptions extends Pick<
  PointwiseJudgeOptions,
  "ask" | "deadlineSeconds" | "read" | "scale" | "sampling"
> {
  /** Judgements of each response. */
  readonly evaluations: number
  readonly seed: number
}

/**
 * The model that writes the responses as their judge: each response is rated several times, and its reward is the mean of
 * the ratings that could be read. Where none could, there is no reward, and the response is not learnt from.
 *
 * @see Yuan et al. 2024, §2.2, https://arxiv.org/abs/2401.10020
 */
export const selfJudge = ({ evaluations, seed, ...options }: SelfJudgeOptions) =>
  Layer.effect(
    Reward,
    Effect.gen(function* () {
      const shared = {
        ...options,
        generator: yield* Generator,
        tokenizer: yield* Tokenizer,
        unreadable: "abstain" as const
      }
      const judges = Array.from({ length: evaluations }, (_, i) => pointwiseJudge({ ...shared, seed: seed + i }))
      return ensemble(judges, { name: "judge", quorum: 1 })
    })
  )

/** The self-judge of a command line. */
export const selfJudgeFrom = (flags: {
  readonly evaluations: number
  readonly judgeNewTokens: number
  readonly seed: number
  readonly temperature: number
  readonly generatorUrl?: string | undefined
  readonly generationTimeout?: number | undefined
}) =>
  Layer.unwrap(
    Effect.map(Tokenizer, ({ stopIds }) => {
      const { evaluations, judgeNewTokens, seed, temperature } = flags
      const sampling = samplingOptions({ maxNewTokens: judgeNewTokens, temperature, stopIds: [...stopIds] })
      const deadlineSeconds = deadlineOf(flags)
      return selfJudge({ evaluations, seed, sampling, ...(deadlineSeconds && { deadlineSeconds }) })
    })
  )
