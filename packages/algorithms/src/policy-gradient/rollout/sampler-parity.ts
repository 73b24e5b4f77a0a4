import type { CausalLM } from "@plumbline/models"
import type { SamplingOptions } from "@plumbline/rollout-generation"
import { Examination, type Finding } from "@plumbline/training"
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

/**
 * Asks the policy about the first group of a rollout that it should have written itself, before anything is learnt. Where
 * tokens are filtered or penalised it is held against what the sampler says of the policy without that.
 */
export const checkSampler = Effect.fn("checkSampler")(function* (
  { groups }: Rollout,
  policy: CausalLM,
  sampling: SamplingOptions,
  computing: Computing
) {
  const { promptIds, responses } = groups[0]!
  const rows = responses.map(({ responseIds }) => responseRow(promptIds, responseIds))
  const plain = isPlain(sampling)
  const own = rowLogProbs(policy, rows, computing, plain ? sampling.temperature : 1)
  const gaps = own.flatMap((values, r) => {
    const { policyLogProbs, samplingLogProbs } = responses[r]!
    const told = plain ? samplingLogProbs : policyLogProbs
    return told === undefined ? [] : Array.from(values, (value, t) => Math.abs(value - told[t]!))
  })
  const gap = gaps.reduce((sum, value) => sum + value, 0) / Math.max(1, gaps.length)
  if (gap > MOST_GAP) return yield* new SamplerApart({ gap, limit: MOST_GAP })
  const examiner = yield* Examination
  if (examiner !== undefined) yield* examiner.tell(parity(gap, ROUNDING[examiner.precision]))
})

/** Nats a token that rounding may put sampler and trainer apart, by what they compute in. */
const ROUNDING = { float32: 0.01, bfloat16: 0.05 }

const parity = (gap: number, most: number): Finding => ({
  check: "sampler",
  verdict: gap > most ? "refused" : "fine",
  text: `sampler and trainer are ${gap.toPrecision(2)} nats a token apart; ${most} may be rounding`
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
