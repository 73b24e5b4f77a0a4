import { Tokenizer } from "@plumbline/data"
import type { Policy } from "@plumbline/models"
import { Generator, type GeneratorFailed, patientHttp, remotePolicyLayer } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { isAddress } from "../../responses/reward-models.ts"

interface GeneratorFlags {
  readonly batchSize: number
  readonly rolloutBatches: number
  readonly samples: number
  readonly cacheTokens?: number | undefined
  readonly generatorUrl?: string | undefined
  readonly maxRows?: number | undefined
}

/** Who writes with the policy's weights: the engine of this process, or the server of `--generator-url`. */
export const generatorLayer = (
  flags: GeneratorFlags
): Layer.Layer<Generator, GeneratorFailed | OptionsInvalid, Policy | Tokenizer> =>
  flags.generatorUrl === undefined ? ownEngine(flags) : served(flags, flags.generatorUrl)

const MOST_ROWS = 256

const ownEngine = ({ batchSize, cacheTokens, maxRows, rolloutBatches, samples }: GeneratorFlags) =>
  Layer.unwrap(
    Effect.map(Tokenizer, (tokenizer) =>
      Generator.layerEngine({
        maxRows: maxRows ?? Math.min(MOST_ROWS, batchSize * rolloutBatches * samples),
        cacheTokens,
        tokenizer
      })
    )
  )

const served = ({ cacheTokens, maxRows }: GeneratorFlags, url: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
      if (!isAddress(url)) return yield* refuse("--generator-url", `${url} is no address, which begins with http://`)
      const unread = (maxRows !== undefined && "--max-rows") || (cacheTokens !== undefined && "--cache-tokens")
      if (unread !== false) return yield* refuse(unread, "is the server's to decide: give it to plumb serve")
      const token = process.env["PLUMBLINE_TOKEN"]
      return remotePolicyLayer({ baseUrl: apiOf(url), maxRetries: 3, ...(token && { token }) })
    })
  ).pipe(Layer.provide(patientHttp))

/** The address with the version that OpenAI's API has at its end. */
const apiOf = (url: string): string => {
  const bare = url.replace(/\/+$/, "")
  return bare.endsWith("/v1") ? bare : `${bare}/v1`
}
