import { Tokenizer, type TokenizedRow } from "@plumbline/data"
import { type CausalLM, Policy } from "@plumbline/models"
import {
  type GeneratedGroup,
  type GeneratedResponse,
  type GenerationRequest,
  Generator,
  GeneratorFailed,
  promptRequests,
  samplingOptions,
  type SamplingOptions,
  UNKNOWN_VERSION
} from "@plumbline/rollout-generation"
import { philoxStream } from "@plumbline/runtime"
import { shared } from "@plumbline/training"
import { Effect } from "effect"

/** How responses are written. */
export interface ResponseOptions {
  /** Responses to each prompt. */
  readonly samples: number
  /** Of the run: responses are a pure function of it, the step and the weights. */
  readonly seed: number
  readonly sampling: Partial<typeof SamplingOptions.Encoded>
  /** Most tokens of prompt and response; the generator's context when absent. */
  readonly maxLength?: number | undefined
  /** After which a generator without an answer fails; never when absent. */
  readonly deadlineSeconds?: number | undefined
}

/** A response as a row whose response tokens are scored, and how it came about. */
export interface WrittenResponse {
  readonly row: TokenizedRow
  readonly response: GeneratedResponse
}

/**
 * Responses of the generator to prompts, at one step: [prompts][samples].
 *
 * They end with the tokenizer's and the policy's stop tokens; their length is cut where a prompt leaves less room.
 */
export const writeResponses = Effect.fnUntraced(function* (
  prompts: ReadonlyArray<Int32Array>,
  step: number,
  { deadlineSeconds, maxLength = Infinity, samples, sampling, seed }: ResponseOptions
) {
  const generator = yield* Generator
  const stopIds = stopTokens(yield* Policy, (yield* Tokenizer).stopIds)
  const alike = {
    samples,
    seed: philoxStream(seed, "responses").uint32(step),
    ...(deadlineSeconds && { deadlineSeconds })
  }
  const options = samplingOptions({ ...sampling, stopIds: [...(sampling.stopIds ?? []), ...stopIds] })
  const context = Math.min(maxLength, generator.limits.contextTokens)
  const requests = promptRequests(prompts, { ...alike, sampling: options }).map((request) => within(request, context))
  const groups = yield* shared(requests, generator.generate)
  yield* checkVersions(groups, yield* generator.policyVersion)
  return groups.map(({ promptIds, responses }) => responses.map((response) => written(promptIds, response)))
})

/** Refuses to learn from what other weights wrote than those that learn, as a server with old ones would. */
const checkVersions = (
  groups: ReadonlyArray<GeneratedGroup>,
  current: number
): Effect.Effect<void, GeneratorFailed> => {
  if (current === UNKNOWN_VERSION) return Effect.void
  for (const { responses } of groups) {
    for (const { policyVersions } of responses) {
      const other = policyVersions.find((version) => version !== UNKNOWN_VERSION && version !== current)
      if (other === undefined) continue
      const reason = `it wrote with weights of version ${other}, and those that learn are of version ${current}`
      return Effect.fail(new GeneratorFailed({ reason, finished: [] }))
    }
  }
  return Effect.void
}

const stopTokens = ({ endTokens }: CausalLM, stopIds: ReadonlyArray<number>) => [...new Set([...stopIds, ...endTokens])]

const within = (request: GenerationRequest, context: number): GenerationRequest => ({
  ...request,
  sampling: {
    ...request.sampling,
    maxNewTokens: Math.min(request.sampling.maxNewTokens, context - request.promptIds.length)
  }
})

const written = (promptIds: Int32Array, response: GeneratedResponse): WrittenResponse => ({
  response,
  row: responseRow(promptIds, response.responseIds)
})

/** Prompt and response as one row, of which the response counts. */
export const responseRow = (promptIds: Int32Array, responseIds: Int32Array): TokenizedRow => {
  const ids = new Int32Array(promptIds.length + responseIds.length)
  ids.set(promptIds)
  ids.set(responseIds, promptIds.length)
  return { ids, lossMask: new Uint8Array(ids.length).fill(1, Math.max(1, promptIds.length)) }
}
