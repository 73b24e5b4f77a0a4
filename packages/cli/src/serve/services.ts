import { namedWeights } from "@plumbline/algorithms"
import { equalWeights, scorer } from "@plumbline/reward-model"
import { Generator } from "@plumbline/rollout-generation"
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
  type ServedReward,
  watchGenerator,
  watchScorer
} from "@plumbline/serving"
import { OptionsInvalid } from "@plumbline/training"
import { Context, Effect, Layer } from "effect"
import { basename, resolve } from "node:path"
import { openModel } from "../model-input.ts"
import { givesScores, openRewardModel, weightsFor } from "../reward-input.ts"
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
  const serve = (yield* givesScores(options)) ? rewardService : generationService
  return yield* serve(options, admitted, metrics)
})

const generationService = Effect.fnUntraced(function* (
  options: ServeOptions,
  admitted: Admission,
  metrics: MetricsPage
) {
  if (options.attributeWeights !== undefined) {
    const reason = "are a reward model's, and this is a language model"
    return yield* new OptionsInvalid({ option: "--attribute-weights", reason })
  }
  const { model, tokenizer } = yield* openModel(options)
  const { cacheTokens, maxConcurrency, maxQueue, maxResponses, maxRows } = options
  const engine = { maxRows, tokenizer, queueRequests: maxQueue + maxConcurrency, cacheTokens }
  const generator = Context.get(yield* Layer.build(Generator.layerModel(model, engine)), Generator)
  const served: ServedModel = { ...identity(options), tokenizer, generator, endTokens: model.endTokens }
  watchGenerator(served, metrics, (yield* ModelRuntime).memory)
  const routes = openaiRoutes({ model: served, limits: options, admission: admitted, metrics, maxResponses })
  return { routes, working: fingerprint(served) } as Service
})

const rewardService = Effect.fnUntraced(function* (options: ServeOptions, admitted: Admission, metrics: MetricsPage) {
  const given = yield* namedWeights(options.attributeWeights)
  const { model, tokenizer } = yield* openRewardModel(options)
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
