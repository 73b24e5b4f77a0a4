import type { JudgedPromptUnit, JudgedSample } from "./judged-responses.ts"

/**
 * What is worth knowing of responses, a number each: rewards and their parts where there are any, lengths in tokens, and
 * whether a limit cut them.
 */
export const rolloutReport = (judged: ReadonlyArray<JudgedPromptUnit>): Readonly<Record<string, Float32Array>> => {
  const samples = judged.flatMap((group) => group.samples)
  return {
    reward: Float32Array.from(samples.flatMap(({ reward }) => reward ?? [])),
    ...partsOf(samples),
    "completions/mean_length": Float32Array.from(samples, ({ response }) => response.responseIds.length),
    "completions/clipped_ratio": Float32Array.from(samples, ({ response }) =>
      response.finishReason === "stop" ? 0 : 1
    )
  }
}

const partsOf = (samples: ReadonlyArray<JudgedSample>): Readonly<Record<string, Float32Array>> => {
  const names = samples[0]?.parts.map(({ name }) => name) ?? []
  return Object.fromEntries(
    names.map((name, k) => [
      `rewards/${name}/mean`,
      Float32Array.from(samples.flatMap(({ parts }) => parts[k]!.value ?? []))
    ])
  )
}
