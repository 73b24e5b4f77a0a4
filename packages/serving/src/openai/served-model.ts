import type { TokenizerShape } from "@plumbline/data"
import type { GeneratorShape } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { RequestRefused } from "../shell/request-refused.ts"

/** A model as clients know it. */
export interface ServedModel {
  /** What `/v1/models` lists. */
  readonly id: string
  /** Other names that requests may use for it. */
  readonly aliases: ReadonlyArray<string>
  /** Unix time in seconds. */
  readonly created: number
  readonly tokenizer: TokenizerShape
  readonly generator: GeneratorShape
  /** Token ids that end a response unless a request says otherwise. */
  readonly endTokens: ReadonlyArray<number>
}

/** The part of an answer that says which weights made it: `plumbline-v3` are the weights of version 3. */
export const fingerprint = ({ generator }: ServedModel): Effect.Effect<string, RequestRefused> =>
  generator.policyVersion.pipe(
    Effect.map((version) => `plumbline-v${version}`),
    Effect.mapError(({ reason }) => generatorDown(reason))
  )

export const generatorDown = (reason: string) =>
  new RequestRefused({ status: 503, reason: `the generator has failed: ${reason}`, code: "generator_failed" })

/** Fails unless the request names this model, or none. */
export const checkModel = ({ aliases, id }: Pick<ServedModel, "aliases" | "id">, name: string | undefined) =>
  name === undefined || name === id || aliases.includes(name)
    ? Effect.void
    : Effect.fail(
        new RequestRefused({
          status: 404,
          reason: `there is no model ${JSON.stringify(name)} here; this server has ${JSON.stringify(id)}`,
          param: "model",
          code: "model_not_found"
        })
      )
