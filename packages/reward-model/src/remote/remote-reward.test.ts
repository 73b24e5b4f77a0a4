import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach } from "vitest"
import type { RewardGroup } from "../reward-request.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"
import { remoteReward } from "./remote-reward.ts"

const servers: Array<Server> = []
afterEach(() => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close())))

interface Row {
  readonly id: string
  readonly prompt: string
  readonly response: string
}

type Handler = (rows: ReadonlyArray<Row>, response: ServerResponse, request: IncomingMessage) => void

/** A scorer that does this with each request. */
const scorer = async (handle: Handler): Promise<string> => {
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () =>
      handle(
        (JSON.parse(Buffer.concat(chunks).toString()) as { readonly rows: ReadonlyArray<Row> }).rows,
        response,
        request
      )
    )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(server)
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/score`
}

const groups: ReadonlyArray<RewardGroup> = ["train.jsonl:3", "train.jsonl:9"].map((row) => ({
  row,
  prompt: { ids: Int32Array.of(1), text: `q of ${row}` },
  responses: ["a", "bbb"].map((text) => ({ ids: Int32Array.of(2), text })),
  answer: "42"
}))

const judge = (url: string, options: Partial<RemoteRewardOptions> = {}) =>
  Effect.runPromise(
    Effect.flatMap(remoteReward({ url, retryDelay: 1, deadlineSeconds: 5, ...options }), (reward) =>
      Effect.match(reward.judge(groups), {
        onSuccess: (judged) => ({ judged, error: undefined }),
        onFailure: (error) => ({ judged: undefined, error })
      })
    ).pipe(Effect.provide(FetchHttpClient.layer))
  )

const lengths: Handler = (rows, response) =>
  response.end(
    JSON.stringify({
      results: rows.map(({ id, response: text }) => ({
        id,
        reward: text.length,
        parts: { good: 0, long: text.length }
      }))
    })
  )

/** Answers row 9 like this, others as they should be. */
const breakingNine =
  (answer: (rows: ReadonlyArray<Row>) => string): Handler =>
  (rows, response, request) =>
    rows[0]!.id.startsWith("train.jsonl:9") ? response.end(answer(rows)) : lengths(rows, response, request)

const results =
  (...scores: ReadonlyArray<unknown>) =>
  (rows: ReadonlyArray<Row>) =>
    JSON.stringify({ results: rows.map(({ id }, i) => ({ id, reward: scores[i] })) })

describe("a remote scorer", () => {
  it("is sent prompt, response and answer, and gives rewards or weighted parts; 0 is one", async () => {
    const seen: Array<unknown> = []
    const url = await scorer((rows, response, request) => {
      seen.push(rows, request.headers.authorization)
      lengths(rows, response, request)
    })
    const { judged } = await judge(url, { token: "secret", weight: 2, maxConcurrency: 1 })
    assert.deepStrictEqual(
      judged!.map(({ responses }) => responses.map(({ reward }) => reward)),
      [
        [2, 6],
        [2, 6]
      ]
    )
    const row = { id: "train.jsonl:3#1", prompt: "q of train.jsonl:3", response: "bbb", answer: "42" }
    assert.deepStrictEqual([(seen[0] as ReadonlyArray<Row>)[1], seen[1]], [row, "Bearer secret"] as never)
    const parts = [
      { name: "good", weight: 1 },
      { name: "long", weight: -0.5 }
    ]
    const named = await judge(url, { parts })
    assert.deepStrictEqual(
      named.judged![0]!.responses.map(({ reward }) => reward),
      [-0.5, -1.5]
    )
  })

  it("is asked again after what may pass, and not after what will not", async () => {
    let asked = 0
    const url = await scorer((rows, response, request) => {
      if (++asked % 2 === 1) {
        response.writeHead(503)
        return void response.end("busy")
      }
      lengths(rows, response, request)
    })
    assert.isDefined((await judge(url, { maxConcurrency: 1 })).judged)
    assert.strictEqual(asked, 4)
    asked = 0
    const refusing = await scorer((_, response) => {
      asked++
      response.writeHead(400)
      response.end("no")
    })
    const { error } = await judge(refusing, { maxConcurrency: 1 })
    assert.strictEqual(error!.message, `train.jsonl:3: reward "remote" failed: ${refusing}: status 400, no`)
    assert.strictEqual(asked, 1)
  })

  it("that is down fails with the row, after bounded retries", async () => {
    const started = Date.now()
    const { error } = await judge("http://127.0.0.1:9/score", { maxRetries: 2 })
    assert.strictEqual(error!._tag, "RewardFailed")
    assert.match(
      error!.message,
      /^train\.jsonl:\d: reward "remote" failed: http:\/\/127\.0\.0\.1:9\/score: no connection .*; tried 3 times$/
    )
    assert.isBelow(Date.now() - started, 5000)
  })

  it("that is slow is left at the deadline, retries included", async () => {
    for (const handle of [
      () => undefined,
      (_: unknown, response: ServerResponse) => void response.writeHead(503).end()
    ]) {
      const url = await scorer(handle as Handler)
      const started = Date.now()
      const { error } = await judge(url, { deadlineSeconds: 0.3, maxRetries: 1000, retryDelay: 20 })
      assert.strictEqual(error!._tag, "RewardTimedOut")
      const said = /^train\.jsonl:\d: reward "remote" took longer than its deadline of 0\.3 s: (\S+) gave no answer$/
      assert.strictEqual(said.exec(error!.message)?.[1], url)
      assert.isBelow(Date.now() - started, 3000)
    }
  })

  it.each([
    ["a page", () => "<html>", /answered with no JSON: <html>/],
    ["no results", () => "{}", /no "results": \{\}/],
    ["Python's NaN", (rows: ReadonlyArray<Row>) => results(1, 2)(rows).replace("2", "NaN"), /answered with no JSON/],
    ["NaN in words", results(1, "NaN"), /of response 1 is NaN, not a finite number/],
    [
      "an infinity",
      (rows: ReadonlyArray<Row>) => results(1, 2)(rows).replace(":2", ":-1e999"),
      /response 1 is .*not a finite number/
    ],
    ["more than float32 holds", results(1, 1e39), /the score of response 1 is 1e\+39, not a finite number of float32/],
    ["null", results(null, 2), /the score of response 0 is null/],
    ["a number as text", results("1", 2), /the score of response 0 is "1"/],
    ["no score", results(1), /the score of response 1 is absent/],
    [
      "another order",
      (rows: ReadonlyArray<Row>) => results(1, 2)(rows.toReversed()),
      /result 0 is of "train\.jsonl:9#1", where "train\.jsonl:9#0"/
    ],
    ["too few", (rows: ReadonlyArray<Row>) => results(1)(rows.slice(1)), /1 results for 2 responses/],
    ["no ids", () => JSON.stringify({ results: [{ reward: 1 }, { reward: 2 }] }), /result 0 is of absent/]
  ])("never takes %s for a reward, and names the row", async (_, answer, reason) => {
    const url = await scorer(breakingNine(answer))
    const { error, judged } = await judge(url)
    assert.isUndefined(judged)
    assert.match(error!.message, reason)
    assert.match(error!.message, /^train\.jsonl:9: /)
    assert.include(error!.message, url)
  })
})
