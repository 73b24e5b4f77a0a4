import type { JudgedPromptUnit } from "../responses/judged-responses.ts"
import type { Reported } from "./reported.ts"

/** What is worth knowing of the responses of a step: rewards of those that have one, lengths in tokens, and whether they ended. */
export const rolloutReport = (judged: ReadonlyArray<JudgedPromptUnit>): Reported["report"] => {
  const samples = judged.flatMap((group) => group.samples)
  return {
    reward: Float32Array.from(samples.flatMap(({ reward }) => reward ?? [])),
    "completions/mean_length": Float32Array.from(samples, ({ response }) => response.responseIds.length),
    "completions/clipped_ratio": Float32Array.from(samples, ({ response }) =>
      response.finishReason === "stop" ? 0 : 1
    )
  }
}
