import type { Dataset } from "@plumbline/training"
import { Generator } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { judged, type JudgedSample } from "../responses/judged-responses.ts"
import type { PromptUnit } from "../responses/prompt-data.ts"
import { type ResponseOptions, writeResponses } from "../responses/responses.ts"
import { OpponentGenerator } from "./opponent-generator.ts"

/** A response of the policy and one of its opponent to the same prompt, judged side by side. */
export interface Duel {
  readonly unit: PromptUnit
  /** The policy's, then the opponent's. */
  readonly samples: readonly [JudgedSample, JudgedSample]
}

/** Writes one response of either to every prompt, and asks the reward about both at once. */
export const writeDuels = Effect.fnUntraced(function* (
  { maxLength }: Pick<Dataset<PromptUnit>, "maxLength">,
  units: ReadonlyArray<PromptUnit>,
  step: number,
  options: Omit<ResponseOptions, "samples">
) {
  const prompts = units.map(({ row }) => row.ids)
  const once = { ...options, samples: 1, maxLength }
  const own = yield* writeResponses(prompts, step, once)
  // draws of its own: the opponent would repeat the policy as long as both are one
  const other = yield* writeResponses(prompts, step, { ...once, seed: options.seed + 1 }).pipe(
    Effect.provideService(Generator, yield* OpponentGenerator)
  )
  const groups = yield* judged(
    units,
    units.map((_, i) => [own[i]![0]!, other[i]![0]!])
  )
  return groups.map(({ samples, unit }): Duel => ({ unit, samples: [samples[0]!, samples[1]!] }))
})
