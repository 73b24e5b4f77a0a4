import { Effect, type Scope } from "effect"
import type { HttpServerResponse } from "effect/http"
import { randomUUID } from "node:crypto"
import { jsonAnswer } from "../shell/pieces.ts"
import type { RequestRefused } from "../shell/request-refused.ts"
import { type AnswerContext, type AnswerHead, countTokens } from "./answer-context.ts"
import { refusalOf } from "./failure.ts"
import { type Job, usageOf } from "./job.ts"
import { fingerprint } from "./served-model.ts"
import { streamAnswer } from "./stream-answer.ts"

/** Of a request whose turn comes when its time is up, which is then said. */
const LEAST_SECONDS = 0.001

/** Generates what a job asks for, and answers with it: whole, or as a stream of events. */
export const answerJob = (
  context: AnswerContext,
  job: Job
): Effect.Effect<HttpServerResponse.HttpServerResponse, RequestRefused, Scope.Scope> =>
  Effect.gen(function* () {
    const { model } = job
    const head: AnswerHead = {
      id: `${job.format.idPrefix}${randomUUID()}`,
      created: Math.floor(Date.now() / 1000),
      model: model.id,
      system_fingerprint: yield* fingerprint(model)
    }
    const spent = (performance.now() - context.since) / 1000
    const left = Math.max(LEAST_SECONDS, context.limits.maxRequestSeconds - spent)
    const requests = job.requests.map((request) => ({ ...request, deadlineSeconds: left, caller: context.caller }))
    const timed = { ...job, requests }
    return yield* (job.stream ? streamAnswer : wholeAnswer)(context, timed, head)
  })

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((total, count) => total + count, 0)

const wholeAnswer = ({ limits, metrics }: AnswerContext, job: Job, head: AnswerHead) =>
  Effect.gen(function* () {
    const groups = yield* job.model.generator.generate(job.requests).pipe(Effect.mapError(refusalOf(limits)))
    const tokens = groups.flatMap(({ responses }) => responses.map(({ responseIds }) => responseIds.length))
    const cached = groups.map(({ cachedTokens = 0 }) => cachedTokens)
    const usage = usageOf(job.requests, sum(tokens), sum(cached))
    countTokens(metrics, usage)
    const { choices, extras, object } = job.format
    return yield* jsonAnswer({ ...head, object, choices: choices(groups), usage, ...extras })
  })
