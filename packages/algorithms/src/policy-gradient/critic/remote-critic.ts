import { Processes } from "@plumbline/runtime"
import { fromFirst } from "@plumbline/training"
import { jsonOf, lifeWatch, originOf, persistently, sender } from "@plumbline/rollout-generation"
import { Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { Critic, CriticFailed, type CriticShape } from "./critic.ts"
import { CRITIC_PATH, decodeWire, encodeWire } from "./wire.ts"

export interface RemoteCriticOptions {
  /** `http://127.0.0.1:8001` */
  readonly url: string
  readonly token?: string | undefined
  /** Seconds for an answer, retries included; 600 when absent. One that shows no sign of life meanwhile fails in seconds. */
  readonly deadlineSeconds?: number | undefined
  /** Times that a question is asked again after a lost connection, 408, 429 or 5xx; lessons are not. 3 when absent. */
  readonly maxRetries?: number | undefined
}

/** A critic that `plumb serve-critic` serves. */
export const remoteCritic = (client: HttpClient.HttpClient, options: RemoteCriticOptions): CriticShape => {
  const { deadlineSeconds = 600, maxRetries: again = 3, token, url } = options
  const life = lifeWatch(client, { url: originOf(url), trustsHealth: false })
  const baseUrl = `${url.replace(/\/$/, "")}${CRITIC_PATH}`
  const send = sender(client, { baseUrl, ...(token !== undefined && { token }) }, life)
  const ask = (during: string, path: string, body: unknown, maxRetries = 0) =>
    life.over(persistently(Effect.scoped(Effect.flatMap(send(path, encodeWire(body)), jsonOf)), { maxRetries })).pipe(
      Effect.flatMap(decoded),
      Effect.timeoutOrElse({
        duration: deadlineSeconds * 1000,
        orElse: () => Effect.fail({ reason: `no answer in ${deadlineSeconds} s` })
      }),
      Effect.mapError(({ reason }) => new CriticFailed({ during, reason: `${url}: ${reason}` }))
    )
  return {
    values: Effect.fnUntraced(function* (rows) {
      const { values } = yield* ask(
        "values",
        "values",
        { rows: rows.map(({ ids, lossMask }) => ({ ids, lossMask })) },
        again
      )
      const counts = rows.map(({ lossMask }) => lossMask.reduce((sum, counts, t) => sum + (t === 0 ? 0 : counts), 0))
      const fit = (value: unknown, row: number) =>
        value instanceof Float32Array && value.length === counts[row] && value.every(Number.isFinite)
      if (!Array.isArray(values) || values.length !== rows.length || !values.every(fit)) {
        const reason = `${options.url}: its answer has not one finite value for each token of ${rows.length} rows`
        return yield* new CriticFailed({ during: "values", reason })
      }
      return values as ReadonlyArray<Float32Array>
    }),
    train: (lesson) =>
      Effect.map(ask("train", "train", lesson), ({ lesson: number }) =>
        Effect.map(
          ask("train", "learnt", { lesson: number }, again),
          ({ metrics }) => metrics as Readonly<Record<string, number>>
        )
      ),
    save: (_, name) => Effect.map(ask("save", "save", { name }, again), ({ where }) => String(where)),
    restore: (_, where) => Effect.asVoid(ask("restore", "restore", { where }, again))
  }
}

/**
 * One critic for all processes of a run, each of which asks about responses of its own; the first one has it learn. No other
 * asks before the lesson has begun.
 */
const taughtByFirst = (critic: CriticShape): Effect.Effect<CriticShape> =>
  Effect.map(Processes, ({ size }) =>
    size === 1
      ? critic
      : {
          ...critic,
          train: Effect.fnUntraced(function* (lesson) {
            let learnt: Effect.Effect<Readonly<Record<string, number>>, CriticFailed> = Effect.succeed({})
            yield* fromFirst(Effect.map(critic.train(lesson), (begun) => void (learnt = begun)))
            return fromFirst(Effect.suspend(() => learnt))
          }),
          restore: (folder, where) => fromFirst(critic.restore(folder, where))
        }
  )

/** The same as a layer, once it has answered: one that is down is found before there is anything to lose. */
export const remoteCriticLayer = (
  options: RemoteCriticOptions
): Layer.Layer<Critic, CriticFailed, HttpClient.HttpClient> =>
  Layer.effect(
    Critic,
    Effect.flatMap(HttpClient.HttpClient, (client) => {
      const critic = remoteCritic(client, options)
      return Effect.andThen(critic.values([]), taughtByFirst(critic))
    })
  )

/** @returns an answer with its typed arrays; one that has none to read will have none the next time */
const decoded = (body: unknown) =>
  Effect.try({
    try: () => decodeWire(body),
    catch: (cause) => ({ reason: `it answered what cannot be read: ${cause instanceof Error ? cause.message : cause}` })
  })
