import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { FetchHttpClient } from "effect/http"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach } from "vitest"
import type { RewardGroup } from "../reward-request.ts"
import { connectReward } from "./connect-reward.ts"
import type { RemoteRewardOptions } from "./remote-options.ts"

const servers: Array<Server> = []
afterEach(() => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close())))

interface Asked {
  readonly rows: ReadonlyArray<{ readonly id: string; readonly input_ids?: ReadonlyArray<number> }>
}

/** A server that gives row i the reward i, and adds this to its answers. */
const scoring = async (answer: object, status = 200) => {
  const asked: Array<Asked> = []
  const server = createServer(async (request, response) => {
    const { rows } = JSON.parse((await request.setEncoding("utf8").toArray()).join("")) as Asked
    asked.push({ rows })
    response.writeHead(status)
    response.end(JSON.stringify({ results: rows.map(({ id }, i) => ({ id, reward: i })), ...answer }))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(server)
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/score` }
}

const group = (row: string, ...texts: ReadonlyArray<string>): RewardGroup => ({
  row,
  prompt: { ids: Int32Array.of(1, 2), text: "ab" },
  responses: texts.map((text) => ({ ids: Int32Array.from(text, () => 7), text }))
})

const connected = (url: string, options: Partial<RemoteRewardOptions> = {}) =>
  connectReward(
    { url, name: "rm", retryDelay: 1, maxRetries: 1, ...options },
    { tokenizer: "ours", trial: group("trial", "") }
  ).pipe(Effect.provide(FetchHttpClient.layer))

describe("connectReward", () => {
  it.each([
    ["sends token ids to a server that has the same tokenizer", "ours", [1, 2, 7, 7]],
    ["sends texts alone to one that has another", "theirs", undefined],
    ["sends texts alone to one that says nothing of it", undefined, undefined]
  ])("%s", async (_, tokenizer, ids) => {
    const { asked, url } = await scoring(tokenizer === undefined ? {} : { tokenizer })
    const judged = await Effect.runPromise(
      Effect.flatMap(connected(url), ({ judge }) => judge([group("r", "x", "yz")]))
    )
    expect(judged[0]!.responses.map(({ reward }) => reward)).toEqual([0, 1])
    expect(asked.map(({ rows }) => rows.length)).toEqual([1, 2])
    expect([asked[0]!.rows[0]!.input_ids, asked[1]!.rows[1]!.input_ids]).toEqual([undefined, ids])
  })

  it.each([
    ["refuses", { error: { message: "no rewards here" } }, 404, "status 404, no rewards here"],
    ["gives no number", { results: [{ id: "trial#0", reward: null }] }, 200, "the score of response 0 is null"],
    ["speaks of something else", { results: "none" }, 200, 'the server answered no "results"']
  ])("fails where the server %s, with address and reason and before any row", async (_, answer, status, reason) => {
    const { url } = await scoring(answer, status)
    const error = await Effect.runPromise(Effect.flip(connected(url)))
    expect(error._tag).toBe("RewardUnavailable")
    expect(error.message).toContain(`the reward server at ${url} cannot be used: ${reason}`)
  })

  it("fails in time where nobody listens, and where nobody answers", async () => {
    const down = await Effect.runPromise(Effect.flip(connected("http://127.0.0.1:9/score")))
    expect(down.message).toMatch(/at http:\/\/127.0.0.1:9\/score cannot be used: no connection .*; tried 2 times$/)
    const server = createServer(() => undefined)
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    servers.push(server)
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const silent = await Effect.runPromise(Effect.flip(connected(url, { deadlineSeconds: 0.2 })))
    expect(silent.message).toBe(`the reward server at ${url} cannot be used: no answer in 0.2 s`)
  })
})
