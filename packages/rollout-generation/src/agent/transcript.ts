import type { TokenizedRow } from "@plumbline/data"
import type { GeneratedResponse } from "../request.ts"

/** Tokens of an episode in order: what was sampled, and what was put between by others than the policy. */
export type TranscriptPart =
  | { readonly kind: "sampled"; readonly response: GeneratedResponse }
  | { readonly kind: "inserted"; readonly ids: Int32Array }

/**
 * A whole episode as a row to train on: exactly the ids that the policy saw and sampled, one after the other. Nothing is
 * tokenized a second time. All arrays are [T]; log-probs are nats.
 */
export interface Transcript extends TokenizedRow {
  readonly ids: Int32Array
  /** uint8, 1 = sampled: prompts and tool outputs never count */
  readonly lossMask: Uint8Array
  /** float32, of the distribution each sampled token was drawn from; 0 for the others */
  readonly samplingLogProbs: Float32Array
  /** float32, of the policy itself; 0 for the tokens that were not sampled */
  readonly policyLogProbs: Float32Array
  /** int32, version of the weights that made each sampled token; −1 for the others */
  readonly policyVersions: Int32Array
  readonly parts: ReadonlyArray<TranscriptPart>
}

export const transcriptOf = (parts: ReadonlyArray<TranscriptPart>): Transcript => {
  const length = parts.reduce((sum, part) => sum + partIds(part).length, 0)
  const transcript = {
    ids: new Int32Array(length),
    lossMask: new Uint8Array(length),
    samplingLogProbs: new Float32Array(length),
    policyLogProbs: new Float32Array(length),
    policyVersions: new Int32Array(length).fill(-1),
    parts
  }
  let start = 0
  for (const part of parts) {
    const ids = partIds(part)
    transcript.ids.set(ids, start)
    if (part.kind === "sampled") {
      const { policyLogProbs, policyVersions, samplingLogProbs } = part.response
      transcript.lossMask.fill(1, start, start + ids.length)
      transcript.samplingLogProbs.set(samplingLogProbs, start)
      transcript.policyLogProbs.set(policyLogProbs, start)
      transcript.policyVersions.set(policyVersions, start)
    }
    start += ids.length
  }
  return transcript
}

const partIds = (part: TranscriptPart): Int32Array => (part.kind === "sampled" ? part.response.responseIds : part.ids)
