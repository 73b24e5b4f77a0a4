import { Tokenizer } from "@plumbline/data"
import { type CausalLM, Policy, ReferencePolicy } from "@plumbline/models"
import { Generator, type GeneratorFailed, patientHttp, remotePolicyGenerator } from "@plumbline/rollout-generation"
import { OptionsInvalid } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { isAddress } from "./address.ts"

interface GeneratorFlags {
  readonly cacheTokens?: number | undefined
  readonly generatorUrl?: string | undefined
  readonly maxRows?: number | undefined
}

interface Writing {
  /** Rows at a time of an engine whose flags do not say. */
  readonly rows: number
  /** Whether an engine of this process writes as well, for which --max-rows and --cache-tokens are then; false when absent. */
  readonly engineToo?: boolean
}

type GeneratorLayer<Model> = Layer.Layer<Generator, GeneratorFailed | OptionsInvalid, Model | Tokenizer>

/** Who writes with the policy's weights: the engine of this process, or the server of `--generator-url`. */
export const policyWriter = (flags: GeneratorFlags, writing: Writing): GeneratorLayer<Policy> =>
  writer(Policy, flags, writing)

/** The same with the reference's weights, as they are at the time: what it writes is the opponent's, or the last iteration's. */
export const referenceWriter = (flags: GeneratorFlags, writing: Writing): GeneratorLayer<ReferencePolicy> =>
  writer(ReferencePolicy, flags, writing)

const writer = <R>(model: Effect.Effect<CausalLM, never, R>, flags: GeneratorFlags, writing: Writing) =>
  flags.generatorUrl === undefined
    ? ownEngine(model, flags, writing)
    : served(model, flags, writing, flags.generatorUrl)

const ownEngine = <R>(
  model: Effect.Effect<CausalLM, never, R>,
  { cacheTokens, maxRows }: GeneratorFlags,
  { rows }: Writing
) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const tokenizer = yield* Tokenizer
      return Generator.layerModel(yield* model, { maxRows: maxRows ?? rows, cacheTokens, tokenizer })
    })
  )

const served = <R>(
  model: Effect.Effect<CausalLM, never, R>,
  { cacheTokens, maxRows }: GeneratorFlags,
  { engineToo = false }: Writing,
  url: string
) =>
  Layer.effect(
    Generator,
    Effect.gen(function* () {
      const refuse = (option: string, reason: string) => new OptionsInvalid({ option, reason })
      if (!isAddress(url)) return yield* refuse("--generator-url", `${url} is no address, which begins with http://`)
      const unread = (maxRows !== undefined && "--max-rows") || (cacheTokens !== undefined && "--cache-tokens")
      if (unread !== false && !engineToo) {
        return yield* refuse(unread, "is the server's to decide: give it to plumb serve")
      }
      const token = process.env["PLUMBLINE_TOKEN"]
      return yield* remotePolicyGenerator(yield* model, { baseUrl: apiOf(url), maxRetries: 3, ...(token && { token }) })
    })
  ).pipe(Layer.provide(patientHttp))

/** The address with the version that OpenAI's API has at its end. */
const apiOf = (url: string): string => {
  const bare = url.replace(/\/+$/, "")
  return bare.endsWith("/v1") ? bare : `${bare}/v1`
}
