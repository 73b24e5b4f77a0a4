import { namedWeights, openRewardModel } from "@plumbline/algorithms"
import { adaptedForUse } from "@plumbline/peft"
import { equalWeights, scorer } from "@plumbline/reward-model"
import { engineGenerators } from "@plumbline/rollout-generation"
import { ModelRuntime } from "@plumbline/runtime"
import {
  type Admission,
  fingerprint,
  type MetricsPage,
  openaiRoutes,
  type RequestRefused,
  rewardRoutes,
  type Route,
  type ServedModel,
  type ServedModels,
  type ServedReward,
  watchGenerator,
  watchScorer
} from "@plumbline/serving"
import { OptionsInvalid } from "@plumbline/training"
import { Effect } from "effect"
import { basename, resolve } from "node:path"
import { openModel } from "../model-input.ts"
import { givesScores, weightsFor } from "../reward-input.ts"
import { type ServedAdapters, servedAdapters } from "./served-adapters.ts"
import type { ServeOptions } from "./serve-options.ts"

/** What a model does for clients: its routes, and whether it can still do it. */
export interface Service {
  readonly routes: ReadonlyArray<Route>
  readonly working: Effect.Effect<unknown, RequestRefused>
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
  const { model, tokenizer } = yield* openModel({ model: options.model, adapter: own })
  const adapted = yield* Effect.forEach(named.values(), (folder) => adaptedForUse(model, folder))
  const { cacheTokens, maxConcurrency, maxQueue, maxResponses, maxRows } = options
  const engine = { maxRows, tokenizer, queueRequests: maxQueue + maxConcurrency, cacheTokens }
  const generators = yield* engineGenerators([model, ...adapted], engine)
  const parent = { ...identity(options), tokenizer, endTokens: model.endTokens, generator: generators[0]! }
  const others = Array.from(named).map(([id, folder], i): ServedModel => ({
    ...parent,
    id,
    aliases: [folder],
    parent: parent.id,
    generator: generators[i + 1]!
  }))
  const served: ServedModels = [parent, ...others]
  watchGenerator(served[0], metrics, (yield* ModelRuntime).memory)
  const routes = openaiRoutes({ models: served, limits: options, admission: admitted, metrics, maxResponses })
  return { routes, working: fingerprint(served[0]) } as Service
})

const rewardService = Effect.fnUntraced(function* (
  options: ServeOptions,
  { named, own }: ServedAdapters,
  admitted: Admission,
  metrics: MetricsPage
) {
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
    model,
    weights,
    scorer: yield* scorer(model, options)
  }
  watchScorer(served, metrics, (yield* ModelRuntime).memory)
  const routes = rewardRoutes({ served, limits: options, admission: admitted, metrics, maxRows: options.maxResponses })
  return { routes, working: Effect.void } as Service
})
