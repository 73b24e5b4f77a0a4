import { roomOf } from "../request-limits.ts"
import type { GeneratedGroup, GeneratedResponse, GenerationRequest } from "../request.ts"
import type { KnownServer } from "./options.ts"

/**
 * Responses for which there is no room, as where a prompt fills the context: the engine of this process ends them before
 * their first token, and servers refuse to begin. Undefined where there is something to ask for.
 */
export const emptyGroup = (
  request: GenerationRequest,
  { contextTokens }: Pick<KnownServer, "contextTokens">
): GeneratedGroup | undefined => {
  const { promptIds, promptLogProbs = false, samples = 1, topLogProbs = 0 } = request
  if (promptLogProbs || roomOf(request, contextTokens) > 0) return undefined
  const response = (sample: number): GeneratedResponse => ({
    sample,
    responseIds: new Int32Array(0),
    samplingLogProbs: new Float32Array(0),
    policyLogProbs: new Float32Array(0),
    policyVersions: new Int32Array(0),
    finishReason: "length",
    stop: undefined,
    topLogProbs: topLogProbs > 0 ? [] : undefined
  })
  return { promptIds, responses: Array.from({ length: samples }, (_, sample) => response(sample)), prompt: undefined }
}
