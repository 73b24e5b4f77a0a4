import { philoxStream } from "@plumbline/runtime"
import type { GenerationRequest } from "./request.ts"

/** What the requests of a set of prompts have in common. */
export interface SharedRequest extends Omit<GenerationRequest, "promptIds" | "seed"> {
  /** Of the whole set; each request gets a seed of its own from it. */
  readonly seed: number
}

/** One request a prompt. Its seed follows from the set's seed and the prompt's place alone, so neighbours change nothing. */
export const promptRequests = (
  prompts: ReadonlyArray<Int32Array>,
  { seed, ...shared }: SharedRequest
): ReadonlyArray<GenerationRequest> => {
  const { uint32 } = philoxStream(seed, "prompts")
  return prompts.map((promptIds, place) => ({ ...shared, promptIds, seed: uint32(place) }))
}
