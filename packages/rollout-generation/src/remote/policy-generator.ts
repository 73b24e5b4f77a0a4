import { type CausalLM, fixedDigest, ownVariables, Policy, shapesOf, unlikeness } from "@plumbline/models"
import { Effect, Layer, Schema, Semaphore } from "effect"
import { HttpClient } from "effect/http"
import { randomUUID } from "node:crypto"
import { GeneratorFailed } from "../errors.ts"
import type { GeneratorShape } from "../generator-shape.ts"
import { Generator } from "../generator.ts"
import type { RemoteOptions } from "./options.ts"
import { generatorLife, preparedGenerator } from "./remote-generator.ts"
import { jsonOf, persistently, type Send, sender } from "./send.ts"
import { soon } from "./soon.ts"
import type { Unanswered } from "./unanswered.ts"
import { RUN_HEADER, ServedWeights, WEIGHTS_PATH } from "./weights-protocol.ts"
import { sendWeights, snapshot } from "./weights-sender.ts"

/**
 * The service over a `plumb serve --accept-weights`, which writes with the policy's weights: before it is asked for
 * responses it is sent those that have changed since, all of a policy that is trained whole, of an adapted one the
 * adapter's values alone. Responses that are being written go on with the new ones.
 *
 * Sending them is within the deadline of a request. Fails at once where the server takes no weights, or has no place for these. vLLM and SGLang have endpoints of their own
 * for files on a common disk, and no way to be sent values: they are refused.
 */
export const remotePolicyGenerator = Effect.fn("remotePolicyGenerator")(function* (
  policy: CausalLM,
  options: RemoteOptions
): Effect.fn.Return<GeneratorShape, GeneratorFailed, HttpClient.HttpClient> {
  if (policy.shards !== undefined && policy.contents === undefined) {
    return yield* failed("weights that the processes of a run have in parts cannot be sent: leave out --sharding full")
  }
  const run = randomUUID()
  const addressed = { ...options, headers: { ...options.headers, [RUN_HEADER]: run } }
  const client = yield* HttpClient.HttpClient
  const life = generatorLife(client, options)
  const send = sender(client, addressed, life)
  yield* checkPlace(send, policy, options)
  const turn = Semaphore.makeUnsafe(1)
  let sent: number | undefined
  const transfer = Effect.suspend(() => {
    const version = policy.version.current()
    if (version === sent) return Effect.void
    return snapshot(ownVariables(policy)).pipe(
      Effect.flatMap((kept) => life.over(sendWeights(send, kept, { version, run, retries: retriesOf(options) }))),
      Effect.tap(() => Effect.sync(() => (sent = version))),
      Effect.scoped,
      Effect.mapError(({ reason }) =>
        failed(`${options.baseUrl} did not take the weights of version ${version}: ${reason}`)
      )
    )
  })
  const current = Effect.suspend(() => (policy.version.current() === sent ? Effect.void : turn.withPermit(transfer)))
  const far = yield* preparedGenerator(addressed, current)
  return { ...far, policyVersion: Effect.sync(() => policy.version.current()) }
})

/** A layer of it, for the policy that is trained: in place of `Generator.layerEngine` it makes a run one of two processes. */
export const remotePolicyLayer = (
  options: RemoteOptions
): Layer.Layer<Generator, GeneratorFailed, HttpClient.HttpClient | Policy> =>
  Layer.effect(
    Generator,
    Effect.flatMap(Policy, (policy) => remotePolicyGenerator(policy, options))
  )

const failed = (reason: string) => new GeneratorFailed({ reason, finished: [] })

const retriesOf = ({ maxRetries = 3, retryDelay = 250 }: RemoteOptions) => ({ maxRetries, retryDelay })

/** Refuses a server whose weights would not become the policy's. */
const checkPlace = Effect.fnUntraced(function* (send: Send, policy: CausalLM, options: RemoteOptions) {
  const { baseUrl } = options
  const asked = soon(Effect.scoped(Effect.flatMap(send(WEIGHTS_PATH), jsonOf)), options)
  const body = yield* persistently(asked, retriesOf(options)).pipe(
    Effect.mapError((failure) => failed(`${baseUrl}${WEIGHTS_PATH}: ${reasonOf(failure)}`))
  )
  if (!Schema.is(ServedWeights)(body)) return yield* failed(`${baseUrl}${WEIGHTS_PATH} says nothing of weights`)
  const place = new Map(Object.entries(body.tensors))
  const reason =
    unlikeness(place, shapesOf(ownVariables(policy))) ??
    (body.fixed === (yield* fixedDigest(policy)) ? undefined : "its adapter has other fixed tensors")
  if (reason !== undefined) {
    return yield* failed(`${baseUrl} serves another model, or another adapter, than the one that is trained: ${reason}`)
  }
})

/** Another server than ours has no such place. */
const reasonOf = ({ reason }: Unanswered): string =>
  reason.startsWith("status 404")
    ? `${reason}; it is no plumb serve, and its weights would stay what they are while the policy learns`
    : reason
