import { incomingTensors, type StagedTensor, type TensorShapes } from "@plumbline/models"
import { RUN_HEADER, type TakenWeights, WEIGHTS_PATH } from "@plumbline/rollout-generation"
import { Effect, Semaphore, Stream } from "effect"
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { checkMedia } from "../shell/body-head.ts"
import type { Limits } from "../shell/limits.ts"
import { badField, RequestRefused } from "../shell/request-refused.ts"
import type { Route } from "../shell/route.ts"
import type { WeightsReceiver, WeightsStamp } from "./weights-receiver.ts"

type Request = HttpServerRequest.HttpServerRequest

const PATH = `/v1${WEIGHTS_PATH}`

/** The weights of a served model, and others for it: 4xx with the reason for whatever it has no place for. */
export const weightsRoutes = (receiver: WeightsReceiver, limits: Limits): ReadonlyArray<Route> => {
  // who waits is not read: one part is in memory beside those that are kept
  const turn = Semaphore.makeUnsafe(1)
  return [
    { method: "GET", path: PATH, handle: () => Effect.map(receiver.describe, HttpServerResponse.jsonUnsafe) },
    {
      method: "POST",
      path: PATH,
      handle: (request) =>
        turn.withPermit(
          Effect.gen(function* () {
            const stamp = yield* stampOf(request)
            const part = yield* readPart(request, receiver.shapes, limits)
            const missing = yield* receiver.take(stamp, part)
            return HttpServerResponse.jsonUnsafe({ version: stamp.version, missing } satisfies typeof TakenWeights.Type)
          })
        )
    }
  ]
}

const MEANS = "start plumb serve with --accept-weights and a token"

/** The same paths of a server that keeps its weights. */
export const noWeightsRoutes: ReadonlyArray<Route> = (["GET", "POST"] as const).map((method) => ({
  method,
  path: PATH,
  handle: () =>
    Effect.fail(
      new RequestRefused({
        status: 403,
        reason: `this server takes no weights: ${MEANS}`,
        code: "weights_not_accepted"
      })
    )
}))

/** Refuses a request of a run whose weights the model does not have: its responses would be another policy's. */
export const checkRun = ({ headers }: Request, run: () => string | undefined): Effect.Effect<void, RequestRefused> =>
  Effect.suspend(() => {
    const wanted = headers[RUN_HEADER]
    if (wanted === undefined || wanted === run()) return Effect.void
    const reason = "another run has sent its weights since, or the server was started again: these are not yours"
    return Effect.fail(new RequestRefused({ status: 409, reason, code: "weights_of_another_run" }))
  })

const stampOf = ({ url }: Request): Effect.Effect<WeightsStamp, RequestRefused> => {
  const query = new URLSearchParams(url.split("?")[1] ?? "")
  const version = Number(query.get("version") ?? Number.NaN)
  return Number.isSafeInteger(version) && version >= 0
    ? Effect.succeed({ version, run: query.get("run") ?? undefined })
    : Effect.fail(badField("version", "must be the number of the policy's version, as in ?version=7"))
}

const MEDIA = "application/octet-stream"

const readPart = (
  request: Request,
  shapes: TensorShapes,
  { maxBodySeconds: seconds }: Limits
): Effect.Effect<ReadonlyMap<string, StagedTensor>, RequestRefused> =>
  Effect.gen(function* () {
    yield* checkMedia(request, MEDIA, `a safetensors file as ${MEDIA}`)
    const length = Number(request.headers["content-length"] ?? Number.NaN)
    if (!Number.isSafeInteger(length)) {
      return yield* refuse(411, "the body's length must be said, in content-length")
    }
    const incoming = incomingTensors(shapes, length)
    const refused = ({ reason, tensor }: { readonly reason: string; readonly tensor?: string }) =>
      refuse(400, tensor === undefined ? reason : `tensor ${tensor} ${reason}`)
    const take = (bytes: Uint8Array) => {
      const fault = incoming.push(bytes)
      return fault === undefined ? Effect.void : refused(fault)
    }
    yield* Stream.runForEach(request.stream, take).pipe(
      Effect.catchTag("HttpServerError", () => refuse(400, "the body broke off")),
      Effect.timeoutOrElse({
        duration: seconds * 1000,
        orElse: () =>
          refuse(408, `the body did not arrive within ${seconds} s: send it in parts, or raise --max-body-seconds`)
      })
    )
    const part = incoming.end()
    return part instanceof Map ? part : yield* refused(part as { reason: string })
  })

const refuse = (status: number, reason: string) => Effect.fail(new RequestRefused({ status, reason }))
