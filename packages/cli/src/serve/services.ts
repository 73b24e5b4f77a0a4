import { tokenizerThread } from "@plumbline/data"
import { namedWeights, openRewardModel } from "@plumbline/algorithms"
import { adaptedForUse } from "@plumbline/peft"
import { equalWeights, scorer } from "@plumbline/reward-model"
import { engineGenerators } from "@plumbline/rollout-generation"
import { ModelRuntime } from "@plumbline/runtime"
import {
  type Admission,
  generatorDown,
  type MetricsPage,
  noWeightsRoutes,
  openaiRoutes,
  type RequestRefused,
  rewardRoutes,
  type Route,
  type ServedModel,
  type ServedModels,
  type ServedReward,
  watchGenerator,
  watchScorer,
  weightsReceiver,
  weightsRoutes
} from "@plumbline/serving"
import { agreeWithSampler, OptionsInvalid } from "@plumbline/training"
import { Effect } from "effect"
import { basename, resolve } from "node:path"
import { givesScores, weightsFor } from "../reward-input.ts"
import { remark } from "../terminal.ts"
import { type ServedAdapters, servedAdapters } from "./served-adapters.ts"
import { refuseUnread, servedModel } from "./served-model.ts"
import type { ServeOptions } from "./serve-options.ts"

/** What a model does for clients: its routes, and whether it can still do it. */
export interface Service {
  readonly routes: ReadonlyArray<Route>
  /** What `/health` says of it. */
  readonly working: Effect.Effect<Readonly<Record<string, unknown>>, RequestRefused>
}

export const nameOf = ({ model, name }: ServeOptions): string => name ?? basename(resolve(model))

const identity = (options: ServeOptions) => ({
  id: nameOf(options),
  aliases: [options.model],
  created: Math.floor(Date.now() / 1000)
})

/** What the model does: a head, its own or its adapter's, makes it a reward model. */
export const serviceOf = Effect.fnUntraced(function* (
  options: ServeOptions,
  admitted: Admission,
  metrics: MetricsPage
) {
  yield* refuseUnread(options)
  const adapters = yield* servedAdapters(options.adapter ?? [], nameOf(options))
  const serve = (yield* givesScores({ model: options.model, adapter: adapters.own }))
    ? rewardService
    : generationService
  return yield* serve(options, adapters, admitted, metrics)
})

const generationService = Effect.fnUntraced(function* (
  options: ServeOptions,
  { named, own }: ServedAdapters,
  admitted: Admission,
  metrics: MetricsPage
) {
  if (options.attributeWeights !== undefined) {
    const reason = "are a reward model's, and this is a language model"
    return yield* new OptionsInvalid({ option: "--attribute-weights", reason })
  }
  const { model, tokenizer } = yield* servedModel(options, own)
  const adapted = yield* Effect.forEach(named.values(), (folder) => adaptedForUse(model, folder))
  if (options.acceptWeights) yield* agreeWithSampler(model, remark)
  const { cacheTokens, maxConcurrency, maxQueue, maxResponses, maxRows } = options
  // a chat's next turn, and requests with the same instructions, begin as others did
  const engine = { maxRows, tokenizer, queueRequests: maxQueue + maxConcurrency, cacheTokens, prefixCaching: true }
  const generators = yield* engineGenerators([model, ...adapted], engine)
  const speaks = { tokenizer, tokenizerThread: yield* tokenizerThread(tokenizer), endTokens: model.endTokens }
  const parent = { ...identity(options), ...speaks, generator: generators[0]! }
  const others = Array.from(named).map(([id, folder], i): ServedModel => ({
    ...parent,
    id,
    aliases: [folder],
    parent: parent.id,
    generator: generators[i + 1]!
  }))
  const served: ServedModels = [parent, ...others]
  watchGenerator(served[0], metrics, (yield* ModelRuntime).memory)
  const receiver = options.acceptWeights ? weightsReceiver(model, generators[0]!) : undefined
  const api = { models: served, limits: options, admission: admitted, metrics, maxResponses, weightsRun: receiver?.run }
  const routes = [...openaiRoutes(api), ...(receiver ? weightsRoutes(receiver, options) : noWeightsRoutes)]
  const working = Effect.map(generators[0]!.policyVersion, (version) => ({ policy_version: version }))
  return { routes, working: Effect.mapError(working, ({ reason }) => generatorDown(reason)) } as Service
})

const rewardService = Effect.fnUntraced(function* (
  options: ServeOptions,
  { named, own }: ServedAdapters,
  admitted: Admission,
  metrics: MetricsPage
) {
  if (options.acceptWeights) {
    const reason = "is for a language model, which responses are written by, and this is a reward model"
    return yield* new OptionsInvalid({ option: "--accept-weights", reason })
  }
  if (named.size > 0) {
    const reason = "names are for adapters of a language model, and this is a reward model: give --adapter DIR"
    return yield* new OptionsInvalid({ option: "--adapter", reason })
  }
  const given = yield* namedWeights(options.attributeWeights)
  const { model, tokenizer } = yield* openRewardModel({ model: options.model, adapter: own })
  const weights = (yield* weightsFor(model.head, given)) ?? equalWeights(model.head)
  const served: ServedReward = {
    ...identity(options),
    tokenizer,
    tokenizerThread: yield* tokenizerThread(tokenizer),
    model,
    weights,
    scorer: yield* scorer(model, options)
  }
  watchScorer(served, metrics, (yield* ModelRuntime).memory)
  const routes = rewardRoutes({ served, limits: options, admission: admitted, metrics, maxRows: options.maxResponses })
  return { routes, working: Effect.succeed({}) } as Service
})
