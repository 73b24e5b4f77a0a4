import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import type { GeneratorShape } from "../generator-shape.ts"
import type { GeneratedResponse, GenerationRequest } from "../request.ts"
import type { SamplingOptions } from "../sampling/options.ts"
import { type Transcript, type TranscriptPart, transcriptOf } from "./transcript.ts"

export interface EpisodeOptions {
  /** [T] int32, 1 ≤ T: what the policy sees before its first response */
  readonly promptIds: Int32Array
  /** Response i draws from a stream of (seed, i). */
  readonly seed: number
  /** Of every response, unless it is told otherwise. */
  readonly sampling: SamplingOptions
  /** Seconds for each response; without end when absent. */
  readonly deadlineSeconds?: number | undefined
  /** Ends the response that is being written. */
  readonly signal?: AbortSignal | undefined
}

/** Several responses of a policy in one text, with other people's tokens between them. */
export interface Episode {
  /** The next response, to all tokens so far. Rejects with a GenerationError; what was before stays. */
  readonly respond: (sampling?: SamplingOptions) => Promise<GeneratedResponse>
  /** Appends tokens that are not the policy's own: an observation, a tool's output, the next question. */
  readonly insert: (ids: Int32Array) => void
  /** Tokens so far. */
  readonly length: () => number
  readonly transcript: () => Transcript
}

/**
 * What agent loops are written with: plain asynchronous functions that alternate `respond` and `insert`. Episodes run side
 * by side, with Promise.all, share the generator's steps.
 */
export const openEpisode = (generator: GeneratorShape, options: EpisodeOptions): Episode => {
  const { deadlineSeconds, promptIds, seed, signal } = options
  const parts: Array<TranscriptPart> = [{ kind: "inserted", ids: promptIds }]
  const { uint32 } = philoxStream(seed, "turns")
  let turns = 0
  const requestOf = (sampling: SamplingOptions): GenerationRequest => ({
    promptIds: transcriptOf(parts).ids,
    seed: uint32(turns++),
    sampling,
    ...(deadlineSeconds === undefined ? {} : { deadlineSeconds })
  })
  return {
    respond: async (sampling = options.sampling) => {
      const generated = generator.generate([requestOf(sampling)])
      const [group] = await Effect.runPromise(generated, signal === undefined ? {} : { signal })
      const response = group!.responses[0]!
      parts.push({ kind: "sampled", response })
      return response
    },
    insert: (ids) => void parts.push({ kind: "inserted", ids }),
    length: () => transcriptOf(parts).ids.length,
    transcript: () => transcriptOf([...parts])
  }
}
