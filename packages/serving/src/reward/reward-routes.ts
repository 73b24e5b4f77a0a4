import type { MemoryReport } from "@plumbline/runtime"
import { Effect, Metric, type Scope } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { randomUUID } from "node:crypto"
import { memoryGauges } from "../openai/metrics.ts"
import { modelNamed } from "../openai/served-model.ts"
import type { Admission } from "../shell/admission.ts"
import { jsonBody } from "../shell/json-body.ts"
import { lazyMap } from "../shell/json-texts.ts"
import type { Limits } from "../shell/limits.ts"
import { type MetricsPage, totalMetric } from "../shell/metrics.ts"
import { jsonAnswer } from "../shell/pieces.ts"
import { RequestRefused } from "../shell/request-refused.ts"
import { notHere, type Route } from "../shell/route.ts"
import { type AskedRewards, type AskedRow, rewardRequest } from "./reward-request.ts"
import type { ServedReward } from "./served-reward.ts"

export interface RewardRoutesOptions {
  readonly served: ServedReward
  readonly limits: Limits
  readonly admission: Admission
  readonly metrics: MetricsPage
  /** Most rows of a request. */
  readonly maxRows: number
}

/**
 * A reward model over HTTP. `/v1/rewards` gives each row a reward and its parts, `/v1/values` a value for each of its tokens,
 * which is a critic's. Rows of all requests are computed together.
 */
export const rewardRoutes = (options: RewardRoutesOptions): ReadonlyArray<Route> => [
  { method: "GET", path: "/v1/models", handle: () => Effect.succeed(listModels(options.served)) },
  {
    method: "GET",
    path: "/v1/models/*",
    handle: (_, name) =>
      Effect.as(modelNamed([options.served], name), HttpServerResponse.jsonUnsafe(description(options.served)))
  },
  { method: "POST", path: "/v1/rewards", handle: (request) => answered(options, request, rewardOf) },
  { method: "POST", path: "/v1/values", handle: (request) => answered(options, request, valuesOf) },
  ...["/v1/completions", "/v1/chat/completions", "/v1/responses"].map((path) =>
    notHere(path, "this server has a reward model, which writes nothing: ask /v1/rewards")
  )
]

/** What a row is answered with. */
type AnswerRow = (
  served: ServedReward,
  row: AskedRow,
  weights: ReadonlyArray<number>
) => Effect.Effect<object, RequestRefused>

const answered = (
  { admission, limits, maxRows, metrics, served }: RewardRoutesOptions,
  request: HttpServerRequest.HttpServerRequest,
  answer: AnswerRow
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestRefused, Scope.Scope> =>
  Effect.gen(function* () {
    yield* admission.enter
    const asked = yield* rewardRequest(served, yield* jsonBody(request, limits), maxRows)
    yield* admission.turn
    const results = yield* Effect.forEach(
      asked.rows,
      (row, index) => Effect.map(answer(served, row, asked.weights), (result) => ({ ...named(row), index, ...result })),
      { concurrency: "unbounded" }
    )
    const tokens = tokensOf(asked)
    metrics.add(scoredTokens, tokens)
    return yield* jsonAnswer({
      id: `rwd-${randomUUID()}`,
      object: "list",
      created: Math.floor(Date.now() / 1000),
      model: served.id,
      tokenizer: served.tokenizer.digest,
      results: lazyMap(results, (result) => result),
      usage: { prompt_tokens: tokens, total_tokens: tokens }
    })
  })

const named = ({ id }: AskedRow) => (id === undefined ? {} : { id })

const tokensOf = ({ rows }: AskedRewards): number => rows.reduce((total, { ids }) => total + ids.length, 0)

const rewardOf: AnswerRow = ({ model, scorer }, { ids }, weights) =>
  Effect.flatMap(scorer.scores(ids), (scores) => {
    const { attributes } = model.head
    const broken = scores.findIndex((score) => !Number.isFinite(score))
    return broken >= 0
      ? Effect.fail(noNumber(`the score of ${attributes[broken]}`, scores[broken]!))
      : Effect.succeed({
          reward: weighted(scores, weights),
          parts: Object.fromEntries(attributes.map((name, k) => [name, scores[k]!]))
        })
  })

const valuesOf: AnswerRow = ({ scorer }, { ids }, weights) =>
  Effect.flatMap(scorer.values(ids), (values) => {
    const width = weights.length
    const found = Array.from(ids, (_, t) => weighted(values.subarray(t * width, (t + 1) * width), weights))
    const broken = found.findIndex((value) => !Number.isFinite(value))
    return broken >= 0
      ? Effect.fail(noNumber(`the value of token ${broken}`, found[broken]!))
      : Effect.succeed({ values: lazyMap(found, (value) => value) })
  })

const weighted = (scores: Float32Array, weights: ReadonlyArray<number>): number =>
  weights.reduce((sum, weight, k) => sum + weight * scores[k]!, 0)

const noNumber = (what: string, value: number) =>
  new RequestRefused({ status: 500, reason: `${what} is ${value}: the model is broken`, code: "not_finite" })

const description = ({ created, id, model }: ServedReward) => ({
  id,
  object: "model",
  created,
  owned_by: "plumbline",
  max_model_len: model.contextTokens,
  vocabulary: model.config.vocabulary,
  attributes: model.head.attributes
})

const listModels = (served: ServedReward) =>
  HttpServerResponse.jsonUnsafe({ object: "list", data: [description(served)] })

const scoredTokens = totalMetric("plumbline_scored_tokens_total", "tokens of rows that were scored")

const rowsWaiting = Metric.gauge("plumbline_scorer_rows_waiting", { description: "rows that wait for their batch" })

/** Shows on the metrics page what the scorer and its backend hold. */
export const watchScorer = (
  { scorer }: ServedReward,
  { add, watch }: MetricsPage,
  memory: () => MemoryReport
): void => {
  // scrapers are to see it from 0 on
  add(scoredTokens, 0)
  watch(rowsWaiting, scorer.waiting)
  watch(memoryGauges.tensors, () => memory().tensors)
  watch(memoryGauges.bytes, () => memory().bytes)
}
