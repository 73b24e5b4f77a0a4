import {
  type GeneratedGroup,
  type GeneratedResponse,
  GenerationTimedOut,
  Generator,
  type SamplingOptions
} from "@plumbline/rollout-generation"
import { Effect } from "effect"
import type { PromptUnit } from "../../responses/prompt-data.ts"

export interface DraftOptions {
  /** Responses to each prompt. */
  readonly samples: number
  readonly sampling: SamplingOptions
  /** Most tokens of prompt and response. */
  readonly maxLength: number
  /** Whether the greedy response to each prompt is judged, too. */
  readonly greedy: boolean
  /** Seconds after which a generator that has not answered is taken for dead. */
  readonly generationTimeout: number
}

/** A group that is written and not judged. */
export interface Draft {
  readonly unit: PromptUnit
  /** Number of the prompt in its rollout. */
  readonly place: number
  readonly seed: number
  readonly responses: ReadonlyArray<GeneratedResponse>
  readonly greedy: GeneratedResponse | undefined
}

/** Writes the responses to a prompt. */
export const draftGroup = Effect.fnUntraced(function* (
  unit: PromptUnit,
  place: number,
  seed: number,
  options: DraftOptions
) {
  const generator = yield* Generator
  const { generationTimeout: seconds, greedy, maxLength, samples } = options
  const room = maxLength - unit.row.ids.length
  const sampling = { ...options.sampling, maxNewTokens: Math.min(options.sampling.maxNewTokens, room) }
  const request = { promptIds: unit.row.ids, seed, samples, sampling, deadlineSeconds: seconds }
  const alone = { ...request, samples: 1, sampling: { ...sampling, temperature: 0 } }
  const [sampled, likeliest] = yield* generator.generate(greedy ? [request, alone] : [request]).pipe(
    // a generator that does not keep to its deadline is dead, too; the one that does tells more
    Effect.timeoutOrElse({
      duration: seconds * 1000 + 250,
      orElse: () => Effect.fail(new GenerationTimedOut({ seconds, finished: [] }))
    })
  )
  const draft: Draft = {
    unit,
    place,
    seed,
    responses: (sampled as GeneratedGroup).responses,
    greedy: likeliest?.responses[0]
  }
  return draft
})
