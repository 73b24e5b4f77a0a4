import { Deferred, Effect, Fiber } from "effect"
import { HttpClient } from "effect/http"
import { Unanswered } from "./unanswered.ts"

/** Tells a server that is busy from one that is stopped, or out of reach. */
export interface LifeWatch {
  /** Runs work that waits for the server, and fails it where the server gives no sign of life meanwhile. */
  readonly over: <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Unanswered, R>
  /** To be told of every answer, which may name the port of the thread that says so. */
  readonly note: (headers: Readonly<Record<string, string | undefined>>) => Effect.Effect<void>
}

/** Of answers of a server of ours: port of a second thread, which answers while the first one computes. */
export const PULSE_HEADER = "x-plumbline-pulse"

export interface LifeWatchOptions {
  /** Address without a path: `/health` is below it. */
  readonly url: string
  /**
   * Whether another server than ours is believed to answer `/health` while it computes, as vLLM, SGLang and TensorRT-LLM
   * do. Where not, or where there is none, it is never taken for stopped.
   */
  readonly trustsHealth: boolean
  /** Seconds of silence after which a server is taken for stopped; 6 when absent. */
  readonly silence?: number | undefined
}

/** What asking came to: a status, a connection that could not be made, or nothing. */
type Heard = number | "refused" | "silence"

/** An answer is looked for so often before it is missed: this process itself may have been busy, or stopped, for one. */
const LOOKS = 6

/**
 * One for all that waits for a server. While something does, the thread that its answers name is asked again and again, of
 * servers of others `/health`; two silences in a row are the end. What cannot be reached from here to begin with, as
 * behind a firewall, is left alone.
 */
export const lifeWatch = (client: HttpClient.HttpClient, options: LifeWatchOptions): LifeWatch => {
  const { silence = 6, trustsHealth, url } = options
  const patience = (silence * 1000) / 2
  let [place, port] = [undefined as string | undefined, undefined as string | undefined]
  let healthAsked = false
  let answers = 0
  let waiting = 0
  let dead = Deferred.makeUnsafe<never, Unanswered>()
  let watching: Fiber.Fiber<void> | undefined

  const ask = (where: string): Effect.Effect<Heard> =>
    Effect.raceFirst(
      Effect.scoped(Effect.map(HttpClient.withScope(client).get(where), ({ status }): Heard => status)).pipe(
        Effect.orElseSucceed((): Heard => "refused")
      ),
      Effect.as(Effect.repeat(Effect.sleep(patience / LOOKS), { times: LOOKS - 1 }), "silence" as const)
    )
  /** Asks there from now on, if there is an answer. */
  const settle = (where: string) =>
    Effect.map(ask(where), (heard) => {
      place = heard === 200 ? where : undefined
      return typeof heard === "number"
    })
  const askHealth = Effect.suspend(() =>
    trustsHealth && port === undefined && !healthAsked
      ? Effect.map(settle(`${url}/health`), (known) => void (healthAsked = known))
      : Effect.void
  )
  const watch = Effect.gen(function* () {
    for (let silences = 0; silences < 2;) {
      if (silences === 0) yield* Effect.sleep(patience / 2)
      if (place === undefined) {
        yield* askHealth
        continue
      }
      silences = (yield* ask(place)) === "silence" ? silences + 1 : 0
    }
    const reason = `it gives no sign of life: for ${silence} s it did not even answer that it is busy`
    yield* Deferred.fail(dead, new Unanswered({ reason, transient: false }))
  })
  const begin = Effect.gen(function* () {
    if (waiting++ > 0) return dead
    dead = Deferred.makeUnsafe()
    watching = yield* Effect.forkDetach(watch)
    return dead
  })
  const end = Effect.suspend(() =>
    --waiting === 0 && watching !== undefined ? Fiber.interrupt(watching) : Effect.void
  )
  return {
    over: (work) =>
      Effect.acquireUseRelease(
        begin,
        (verdict) => Effect.raceFirst(work, Deferred.await(verdict)),
        () => end
      ),
    note: ({ [PULSE_HEADER]: named }) => {
      // its first answer shows that it can be reached: whoever falls silent now was alive
      if (named === undefined) return answers++ === 0 ? askHealth : Effect.void
      if (named === port || !/^\d{1,5}$/.test(named)) return Effect.void
      port = named
      return Effect.asVoid(settle(`http://${new URL(url).hostname}:${named}/`))
    }
  }
}

/** The address of a server of which an address is known. */
export const originOf = (url: string): string => {
  try {
    return new URL(url).origin
  } catch {
    // whoever asks will be told that it is none
    return url
  }
}
