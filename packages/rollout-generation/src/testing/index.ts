import type { CausalLM } from "@plumbline/models"
import { wholeRows } from "@plumbline/models/testing"
import { tf } from "@plumbline/runtime"
import { type SamplingOptions, samplingOptions } from "../sampling/options.ts"
import type { GenerationRequest } from "../request.ts"

export { type Script, type Scripted, scriptedGenerator } from "./scripted-generator.ts"
export { responseProbabilities, samplingDistribution } from "./distribution.ts"

/** A prompt of `length` tokens below 32 that no other seed has. */
export const prompt = (length: number, seed: number): Int32Array =>
  Int32Array.from({ length }, (_, t) => (7 * t + 5 * seed + t * seed) % 32)

/** A request of 12 tokens, unless told otherwise. */
export const request = (
  promptIds: Int32Array,
  seed: number,
  sampling: Partial<typeof SamplingOptions.Encoded> = {},
  rest: Partial<GenerationRequest> = {}
): GenerationRequest => ({ promptIds, seed, sampling: samplingOptions({ maxNewTokens: 12, ...sampling }), ...rest })

/** What the model says after these tokens, as the trainer computes it: without a cache. */
export const logitsAfter =
  (model: CausalLM) =>
  (ids: ReadonlyArray<number>): Float32Array =>
    tf.tidy(() => model.logits(wholeRows(ids), Int32Array.of(ids.length - 1)).dataSync() as Float32Array)

/** What the trainer scores these tokens with given those before them, nats: of the first there is none. */
export const trainerScores = (model: CausalLM, ids: ReadonlyArray<number>): Float32Array =>
  tf.tidy(() => model.tokenLogProbs(wholeRows(ids)).logProbs.dataSync() as Float32Array)
