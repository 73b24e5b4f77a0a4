import { Effect, Layer, Schedule } from "effect"
import { Critic, CriticFailed, type CriticShape } from "./critic.ts"
import { CRITIC_PATH, decodeWire, encodeWire } from "./wire.ts"

export interface RemoteCriticOptions {
  /** `http://127.0.0.1:8001` */
  readonly url: string
  readonly token?: string | undefined
  /** Seconds after which a critic that has not answered is taken for dead; 600 when absent. */
  readonly deadlineSeconds?: number | undefined
  /** Times that a question is asked again after a lost connection; lessons are not. 3 when absent. */
  readonly maxRetries?: number | undefined
}

/** A critic that `plumb serve-critic` serves. */
export const remoteCritic = (options: RemoteCriticOptions): CriticShape => {
  const ask = (during: string, path: string, body: unknown, retries = 0) =>
    post(options, during, path, body).pipe(
      Effect.retry({ schedule: Schedule.exponential(250), times: retries, while: ({ lost }) => lost }),
      Effect.mapError(({ reason }) => new CriticFailed({ during, reason: `${options.url}: ${reason}` }))
    )
  const again = options.maxRetries ?? 3
  return {
    values: Effect.fnUntraced(function* (rows) {
      const { values } = yield* ask(
        "values",
        "values",
        { rows: rows.map(({ ids, lossMask }) => ({ ids, lossMask })) },
        again
      )
      const counts = rows.map(({ lossMask }) => lossMask.reduce((sum, counts, t) => sum + (t === 0 ? 0 : counts), 0))
      const fit = (value: unknown, row: number) => value instanceof Float32Array && value.length === counts[row]
      if (!Array.isArray(values) || values.length !== rows.length || !values.every(fit)) {
        const reason = `${options.url}: its answer has not one value for each token of ${rows.length} rows`
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

/** The same as a layer, once it has answered: one that is down is found before there is anything to lose. */
export const remoteCriticLayer = (options: RemoteCriticOptions): Layer.Layer<Critic, CriticFailed> =>
  Layer.effect(
    Critic,
    Effect.suspend(() => {
      const critic = remoteCritic(options)
      return Effect.as(critic.values([]), critic)
    })
  )

interface Lost {
  readonly reason: string
  /** Whether the connection was lost before there was an answer. */
  readonly lost: boolean
}

const post = (
  { deadlineSeconds = 600, token, url }: RemoteCriticOptions,
  during: string,
  path: string,
  body: unknown
) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(`${url.replace(/\/$/, "")}${CRITIC_PATH}${path}`, {
        method: "POST",
        body: encodeWire(body),
        headers: {
          "content-type": "application/json",
          ...(token !== undefined && { authorization: `Bearer ${token}` })
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(deadlineSeconds * 1000)])
      })
      const answer = (await response.json()) as { readonly error?: { readonly message?: string } }
      if (!response.ok) throw new Refusal(`${response.status}: ${answer.error?.message ?? "no reason given"}`)
      return decodeWire(answer)
    },
    catch: (cause): Lost => {
      if (cause instanceof Refusal || cause instanceof SyntaxError) return { reason: cause.message, lost: false }
      const { cause: inner, message, name } = cause as Error & { readonly cause?: { readonly code?: string } }
      if (name === "TimeoutError") return { reason: `no answer to ${during} in ${deadlineSeconds} s`, lost: false }
      return { reason: inner?.code === undefined ? message : `${message} (${inner.code})`, lost: true }
    }
  })

class Refusal extends Error {}
