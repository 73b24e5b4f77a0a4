import type { TokenizerShape, TokenizerThread } from "@plumbline/data"
import type { GeneratorShape } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { RequestRefused } from "../shell/request-refused.ts"

/** Models that requests name; the first answers those that name none. */
export type ServedModels = readonly [ServedModel, ...ReadonlyArray<ServedModel>]

/** A model as clients know it. */
export interface ServedModel {
  /** What `/v1/models` lists. */
  readonly id: string
  /** Other names that requests may use for it. */
  readonly aliases: ReadonlyArray<string>
  /** The served model that it is an adapter on, where it is one. */
  readonly parent?: string | undefined
  /** Unix time in seconds. */
  readonly created: number
  readonly tokenizer: TokenizerShape
  readonly tokenizerThread: TokenizerThread
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

/** The model that a request names, the first where it names none. Fails where there is no such model. */
export const modelNamed = <M extends Pick<ServedModel, "aliases" | "id">>(
  models: readonly [M, ...ReadonlyArray<M>],
  name: string | undefined
): Effect.Effect<M, RequestRefused> => {
  const found =
    name === undefined
      ? models[0]
      : (models.find(({ id }) => id === name) ?? models.find(({ aliases }) => aliases.includes(name)))
  if (found !== undefined) return Effect.succeed(found)
  const ids = models.map(({ id }) => JSON.stringify(id)).join(", ")
  const reason = `there is no model ${JSON.stringify(name?.slice(0, 200))} here; this server has ${ids}`
  return Effect.fail(new RequestRefused({ status: 404, reason, param: "model", code: "model_not_found" }))
}
