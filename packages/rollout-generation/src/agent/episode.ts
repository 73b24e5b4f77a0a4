import { philoxStream } from "@plumbline/runtime"
import { Effect } from "effect"
import type { GeneratorShape } from "../generator-shape.ts"
import type { GeneratedResponse, GenerationRequest } from "../request.ts"
import type { SamplingOptions } from "../sampling/options.ts"
import { type Transcript, type TranscriptPart, transcriptOf } from "./transcript.ts"

export interface EpisodeOptions {
  /** [T] int32, 1 ≤ T: what the policy sees before its first response */
  readonly promptIds: Int32Array
  /** Response i draws from a stream of (seed, i), however many failed before it. */
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
  /**
   * The next response, to all tokens so far. Rejects with a GenerationError, or the reason of `signal`; what was before stays.
   * With a TypeError where the one before is still being written: what it is a response to would not be what it stands behind.
   */
  readonly respond: (sampling?: SamplingOptions) => Promise<GeneratedResponse>
  /**
   * Appends tokens that are not the policy's own: an observation, a tool's output, the next question. They are copied.
   * @throws TypeError where they are no Int32Array, or a response is being written
   */
  readonly insert: (ids: Int32Array) => void
  /** Tokens so far. */
  readonly length: () => number
  readonly transcript: () => Transcript
}

/**
 * What agent loops are written with: plain asynchronous functions that alternate `respond` and `insert`. Episodes run side
 * by side, with Promise.all, share the generator's steps.
 * @throws InvalidSeed; TypeError where `promptIds` is no Int32Array
 */
export const openEpisode = (generator: GeneratorShape, options: EpisodeOptions): Episode => {
  const { deadlineSeconds, promptIds, seed, signal } = options
  const parts: Array<TranscriptPart> = [{ kind: "inserted", ids: copyOf(promptIds) }]
  const { uint32 } = philoxStream(seed, "turns")
  let isWriting = false
  const mustNotWrite = (): void => {
    if (isWriting) throw new TypeError("a response of the episode is being written, and nothing may come between")
  }
  const requestOf = (sampling: SamplingOptions): GenerationRequest => ({
    promptIds: transcriptOf(parts).ids,
    seed: uint32(parts.filter(({ kind }) => kind === "sampled").length),
    sampling,
    ...(deadlineSeconds === undefined ? {} : { deadlineSeconds })
  })
  return {
    respond: async (sampling = options.sampling) => {
      mustNotWrite()
      isWriting = true
      try {
        const generated = generator.generate([requestOf(sampling)])
        const [group] = await Effect.runPromise(generated, signal === undefined ? {} : { signal })
        const response = group!.responses[0]!
        parts.push({ kind: "sampled", response })
        return response
      } catch (error) {
        throw signal?.aborted === true ? signal.reason : error
      } finally {
        isWriting = false
      }
    },
    insert: (ids) => {
      mustNotWrite()
      parts.push({ kind: "inserted", ids: copyOf(ids) })
    },
    length: () => transcriptOf(parts).ids.length,
    transcript: () => transcriptOf([...parts])
  }
}

/** The transcript is what was put in, whatever becomes of the array that it was in. */
const copyOf = (ids: Int32Array): Int32Array => {
  // an agent may be written in JavaScript, and numbers that are no ids would become some
  if (!(ids instanceof Int32Array)) throw new TypeError("tokens of an episode are an Int32Array")
  return ids.slice()
}
