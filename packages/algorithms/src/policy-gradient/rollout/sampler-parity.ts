import type { CausalLM } from "@plumbline/models"
import type { SamplingOptions } from "@plumbline/rollout-generation"
import { Effect, Schema } from "effect"
import { responseRow } from "../../responses/responses.ts"
import type { Rollout } from "./rollout.ts"
import { type Computing, rowLogProbs } from "./token-log-probs.ts"

/** What wrote the responses and what is to learn from them do not agree on how likely their tokens are. */
export class SamplerApart extends Schema.TaggedError<SamplerApart>()("SamplerApart", {
  /** Mean |log-prob of the policy − log-prob of the sampler| by token, nats. */
  gap: Schema.Finite,
  limit: Schema.Finite
}) {
  override get message() {
    return (
      `the sampler's log-probs are ${this.gap.toPrecision(3)} nats a token from the policy's, more than ${this.limit}: ` +
      "the generator has other weights, another temperature or another vocabulary than the model that is trained"
    )
  }
}

/** Engines of bfloat16 are some hundredths apart; other weights soon are nats. */
export const MOST_GAP = 0.25

/** Asks the policy about the first group of a rollout that it should have written itself, before anything is learnt. */
export const checkSampler = (
  { groups }: Rollout,
  policy: CausalLM,
  sampling: SamplingOptions,
  computing: Computing
): Effect.Effect<void, SamplerApart> =>
  Effect.suspend(() => {
    const { promptIds, responses } = groups[0]!
    const rows = responses.map(({ responseIds }) => responseRow(promptIds, responseIds))
    const own = rowLogProbs(policy, rows, computing, sampling.temperature)
    const gaps = own.flatMap((values, r) =>
      Array.from(values, (value, t) => Math.abs(value - responses[r]!.samplingLogProbs[t]!))
    )
    const gap = gaps.reduce((sum, value) => sum + value, 0) / Math.max(1, gaps.length)
    return isPlain(sampling) && gap > MOST_GAP ? Effect.fail(new SamplerApart({ gap, limit: MOST_GAP })) : Effect.void
  })

/** Whether responses are drawn from the policy at a temperature, with nothing filtered, penalised or favoured. */
const isPlain = (sampling: SamplingOptions): boolean =>
  sampling.topK === 0 &&
  sampling.topP === 1 &&
  sampling.minP === 0 &&
  sampling.repetitionPenalty === 1 &&
  sampling.presencePenalty === 0 &&
  sampling.frequencyPenalty === 0 &&
  sampling.minNewTokens === 0 &&
  sampling.allowedTokens === undefined &&
  Object.keys(sampling.logitBias).length === 0
