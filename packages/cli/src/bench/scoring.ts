import { byteTokenizer, tokenizerThread } from "@plumbline/data"
import { type ScalarModel, scoringFlopsPerToken } from "@plumbline/models"
import { scorer, scoreRows } from "@plumbline/reward-model"
import { philoxStream } from "@plumbline/runtime"
import {
  admission,
  Limits,
  loopbackAccess,
  metricsPage,
  rewardRoutes,
  type ServedReward,
  serveHttp,
  type ServerUnavailable
} from "@plumbline/serving"
import { Data, Effect, Schema, type Scope } from "effect"
import { timeProducts } from "./matrix-products.ts"
import { randomRewardModel } from "./random-model.ts"
import type { Shape } from "./shapes.ts"

export interface ScoringTask {
  readonly shape: Shape
  /** Rows that are scored in each repeat. */
  readonly rows: number
  /** Tokens of a row. */
  readonly length: number
  /** Most tokens computed at once. */
  readonly batchTokens: number
  readonly repeats: number
  /** Clients that ask a server of this process over HTTP, a row a request; none where 0. */
  readonly clients: number
  readonly seed: number
}

export interface ScoringMeasurement {
  readonly parameters: number
  readonly flopsPerToken: number
  /** Of each repeat: all rows scored and read. */
  readonly seconds: ReadonlyArray<number>
  /** Of each repeat through the server; empty without clients. */
  readonly servedSeconds: ReadonlyArray<number>
  /** FLOP/s of this machine's matrix products, where no peak was given. */
  readonly productRate: number | undefined
}

/** A request of the bench had another answer than a reward. */
export class RequestFailed extends Data.TaggedError("RequestFailed")<{ readonly message: string }> {}

/** Times scoring of random rows, at once and through a server, after one repeat of each to warm up. */
export const measureScoring = Effect.fnUntraced(function* (task: ScoringTask, withProducts: boolean) {
  const model = yield* Effect.acquireRelease(
    Effect.sync(() => randomRewardModel(task.shape, task.length, task.seed)),
    ({ dispose }) => Effect.sync(dispose)
  )
  const rows = randomRows(task)
  const offline = scoreRows(model, rows, task)
  const ask = task.clients === 0 ? undefined : yield* clients(model, rows, task)
  yield* offline
  if (ask !== undefined) yield* ask
  const products = withProducts
    ? timeProducts(model.config, Math.min(task.batchTokens, task.rows * task.length))
    : undefined
  const seconds: Array<number> = []
  const servedSeconds: Array<number> = []
  for (let i = 0; i < task.repeats; i++) {
    seconds.push(yield* secondsOf(offline))
    if (ask !== undefined) servedSeconds.push(yield* secondsOf(ask))
    products?.run()
  }
  const productRate = products?.rate()
  products?.dispose()
  const parameters = [...model.parameters.values()].reduce((total, { size }) => total + size, 0)
  const flopsPerToken = scoringFlopsPerToken(model.config, task.length)
  return { parameters, flopsPerToken, seconds, servedSeconds, productRate } as ScoringMeasurement
})

const randomRows = ({ length, rows, seed, shape }: ScoringTask): ReadonlyArray<Int32Array> => {
  const { uint32 } = philoxStream(seed, "bench/rows")
  return Array.from({ length: rows }, (_, row) =>
    Int32Array.from({ length }, (__, t) => uint32(row * length + t) % shape.vocabulary)
  )
}

const secondsOf = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  Effect.suspend(() => {
    const begun = performance.now()
    return Effect.map(work, () => (performance.now() - begun) / 1000)
  })

/** All rows once, over HTTP: each client sends its next row when the last one is answered. */
const clients = Effect.fnUntraced(function* (model: ScalarModel, rows: ReadonlyArray<Int32Array>, task: ScoringTask) {
  const url = yield* server(model, task)
  const bodies = rows.map((ids) => JSON.stringify({ input: [...ids] }))
  const post = (body: string) =>
    Effect.tryPromise({
      try: async () => {
        const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body })
        const text = await answer.text()
        if (answer.status !== 200) throw new Error(text)
      },
      catch: (cause) =>
        new RequestFailed({ message: `the bench's own server: ${String((cause as Error).cause ?? cause)}` })
    })
  // a connection that was kept through a repeat without requests may have been closed at the other end
  const ask = (body: string) => Effect.retry(post(body), { times: 2 })
  return Effect.forEach(bodies, ask, { concurrency: task.clients, discard: true })
})

const server = Effect.fnUntraced(function* (
  model: ScalarModel,
  { batchTokens, clients: maxConcurrency }: ScoringTask
): Effect.fn.Return<string, ServerUnavailable, Scope.Scope> {
  const tokenizer = byteTokenizer({ specials: [] })
  const served: ServedReward = {
    id: "bench",
    aliases: [],
    created: 0,
    tokenizer,
    tokenizerThread: yield* tokenizerThread(tokenizer),
    model,
    scorer: yield* scorer(model, { batchTokens }),
    weights: { [model.head.attributes[0]!]: 1 }
  }
  const limits = Schema.decodeSync(Limits)({ maxConcurrency })
  const metrics = metricsPage()
  const admitted = admission(limits)
  const routes = rewardRoutes({ served, limits, admission: admitted, metrics, maxRows: 1 })
  const bound = { access: loopbackAccess, host: "127.0.0.1", port: 0 }
  const { url } = yield* serveHttp({ routes, limits, admission: admitted, metrics, ...bound })
  return `${url}/v1/rewards`
})
