import { Effect, Schema } from "effect"
import { GeneratorFailed } from "../errors.ts"
import type { GeneratorLimits } from "../generator-shape.ts"
import { type RemoteOptions, UNKNOWN_VERSION } from "./options.ts"
import { jsonOf, persistently, type Send } from "./send.ts"
import { soon } from "./soon.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Model = Schema.Struct({
  id: Schema.String,
  owned_by: Schema.optionalKey(Schema.NullOr(Schema.String)),
  max_model_len: Schema.optionalKey(Schema.NullOr(Count)),
  vocabulary: Schema.optionalKey(Schema.NullOr(Count)),
  policy_version: Schema.optionalKey(Schema.NullOr(Schema.Int))
})
const Models = Schema.Struct({ data: Schema.Array(Model) })

const hintOf = (reason: string, { baseUrl }: RemoteOptions): string =>
  reason.startsWith("status 404") && !/\/v\d+\/*$/.test(baseUrl) ? "; an address ends with the API's version: /v1" : ""

/** Servers that report log-probs of one kind or another, by how they were started. */
const AMBIGUOUS: ReadonlySet<string> = new Set(["sglang"])

const failed = (reason: string) => new GeneratorFailed({ reason, finished: [] })

/** The server's model: the one of the options, else the first of its list. */
const findModel = (send: Send, options: RemoteOptions) =>
  Effect.gen(function* () {
    const { data } = yield* listModels(send, options)
    const found = options.model === undefined ? data[0] : data.find(({ id }) => id === options.model)
    if (found !== undefined) return found
    const names = data.map(({ id }) => id).join(", ")
    return yield* failed(`${options.baseUrl} has no model ${options.model ?? ""}; it lists: ${names || "none"}`)
  })

const listModels = (send: Send, options: RemoteOptions) =>
  persistently(soon(Effect.scoped(Effect.flatMap(send("/models"), jsonOf)), options), options).pipe(
    Effect.mapError(({ reason }) => failed(`${options.baseUrl}/models: ${reason}${hintOf(reason, options)}`)),
    Effect.flatMap((body) =>
      Effect.mapError(Schema.decodeUnknownEffect(Models)(body), ({ message }) =>
        failed(`${options.baseUrl}/models is no list of models: ${message}`)
      )
    )
  )

/** Name and limits of the server's model, and what its log-probs are; a failure where neither the server nor the options say a limit. */
export const describeModel = Effect.fnUntraced(function* (send: Send, options: RemoteOptions) {
  const model = yield* findModel(send, options)
  const contextTokens = options.contextTokens ?? model.max_model_len ?? undefined
  const vocabulary = options.vocabulary ?? model.vocabulary ?? undefined
  if (contextTokens === undefined || vocabulary === undefined) {
    const missing = contextTokens === undefined ? "contextTokens" : "vocabulary"
    return yield* failed(`${options.baseUrl} does not say the ${missing} of ${model.id}; give it in the options`)
  }
  const limits: GeneratorLimits = { contextTokens, vocabulary }
  const presumed = AMBIGUOUS.has(model.owned_by ?? "") ? undefined : ("policy" as const)
  return { id: model.id, limits, logProbs: options.logProbs ?? presumed }
})

export const serverVersion = (send: Send, options: RemoteOptions): Effect.Effect<number, GeneratorFailed> =>
  Effect.map(findModel(send, options), (model) => model.policy_version ?? UNKNOWN_VERSION)
