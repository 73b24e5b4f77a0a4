import type { MemoryReport } from "@plumbline/runtime"
import { RUN_HEADER } from "@plumbline/rollout-generation"
import { Effect, type Scope } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import type { Admission } from "../shell/admission.ts"
import { jsonBody } from "../shell/json-body.ts"
import type { Limits } from "../shell/limits.ts"
import type { MetricsPage } from "../shell/metrics.ts"
import type { RequestRefused } from "../shell/request-refused.ts"
import { notHere, type Route } from "../shell/route.ts"
import { checkRun } from "../weights/weights-routes.ts"
import { answerJob } from "./answer-job.ts"
import { chatJob } from "./chat-request.ts"
import { completionJob } from "./completion-request.ts"
import type { Job } from "./job.ts"
import { loadGauges, loadTotals, memoryGauges, openaiMetrics } from "./metrics.ts"
import { modelNamed, type ServedModel, type ServedModels } from "./served-model.ts"

export interface OpenAIOptions {
  readonly models: ServedModels
  readonly limits: Limits
  readonly admission: Admission
  readonly metrics: MetricsPage
  /** Most responses that one request may ask for, over all its prompts. */
  readonly maxResponses: number
  /** Whose weights the models have, where they may be set from outside. */
  readonly weightsRun?: (() => string | undefined) | undefined
}

/** OpenAI's API; the `model` of a request selects among the models. */
export const openaiRoutes = (options: OpenAIOptions): ReadonlyArray<Route> => [
  { method: "GET", path: "/v1/models", handle: () => listModels(options.models) },
  { method: "GET", path: "/v1/models/*", handle: (_, name) => oneModel(options.models, name) },
  { method: "POST", path: "/v1/completions", handle: (request) => complete(options, request, completionJob) },
  { method: "POST", path: "/v1/chat/completions", handle: (request) => complete(options, request, chatJob) },
  // newer clients ask there unless they are told otherwise
  notHere("/v1/responses", "OpenAI's Responses API is not served here: have the client use /v1/chat/completions"),
  ...["/v1/rewards", "/v1/values"].map((path) =>
    notHere(path, "this server has a language model, which scores nothing: serve a reward model for that")
  )
]

/** @param maxResponses most that the request may ask for */
type ReadJob = (models: ServedModels, body: unknown, maxResponses: number) => Effect.Effect<Job, RequestRefused>

const complete = (
  { admission, limits, maxResponses, metrics, models, weightsRun = () => undefined }: OpenAIOptions,
  request: HttpServerRequest.HttpServerRequest,
  readJob: ReadJob
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const since = performance.now()
    yield* checkRun(request, weightsRun)
    yield* admission.enter
    const body = yield* jsonBody(request, limits)
    const job = yield* readJob(models, body, maxResponses)
    yield* admission.turn
    const answer = yield* answerJob({ metrics, limits, since, caller: callerOf(request) }, job)
    // others may have come while it was written
    yield* checkRun(request, weightsRun)
    return answer
  })

/** Requests of a run that learns elsewhere are parts of one batch, which they were to go through in order. */
const callerOf = ({ headers }: HttpServerRequest.HttpServerRequest): unknown => headers[RUN_HEADER] ?? {}

const describe = ({ created, generator, id, parent }: ServedModel) =>
  Effect.map(
    Effect.orElseSucceed(generator.policyVersion, () => null),
    (version) => ({
      id,
      object: "model",
      created,
      owned_by: "plumbline",
      ...(parent === undefined ? {} : { parent }),
      max_model_len: generator.limits.contextTokens,
      vocabulary: generator.limits.vocabulary,
      policy_version: version
    })
  )

const listModels = (models: ServedModels) =>
  Effect.map(Effect.forEach(models, describe), (data) => HttpServerResponse.jsonUnsafe({ object: "list", data }))

const oneModel = (models: ServedModels, name: string) =>
  modelNamed(models, name).pipe(Effect.flatMap(describe), Effect.map(HttpServerResponse.jsonUnsafe))

/** Shows on the metrics page what the generator and its backend hold. */
export const watchGenerator = (
  { generator }: { readonly generator: Pick<ServedModel["generator"], "load"> },
  { add, watch, watchTotal }: MetricsPage,
  memory: () => MemoryReport
): void => {
  // a total that is not there until it has grown hides from a scraper how much it grew first
  for (const total of [openaiMetrics.promptTokens, openaiMetrics.generatedTokens]) add(total, 0)
  const load = () => Effect.runSync(generator.load)
  for (const field of Object.keys(loadGauges) as ReadonlyArray<keyof typeof loadGauges>) {
    watch(loadGauges[field], () => load()[field])
  }
  for (const field of Object.keys(loadTotals) as ReadonlyArray<keyof typeof loadTotals>) {
    watchTotal(loadTotals[field], () => load()[field])
  }
  watch(memoryGauges.tensors, () => memory().tensors)
  watch(memoryGauges.bytes, () => memory().bytes)
}
