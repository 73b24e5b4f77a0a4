import { Effect } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import type { CriticShape } from "./critic.ts"
import { remoteCritic } from "./remote-critic.ts"
import { encodeWire } from "./wire.ts"

const servers: Array<Server> = []
afterEach(() => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close())))

/** A critic behind a server that answers each path in turn: a status and a text, or nothing, which breaks the connection. */
const served = async (...answers: ReadonlyArray<readonly [status: number, text: string] | undefined>) => {
  const asked: Array<string> = []
  const server = createServer(async (request, response) => {
    await request.resume().toArray()
    const answer = answers[Math.min(asked.length, answers.length - 1)]
    asked.push(request.url!)
    if (answer === undefined) return void request.socket.destroy()
    response.writeHead(answer[0], { "content-type": "application/json" })
    response.end(answer[1])
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(server)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const using = <A, E>(use: (critic: CriticShape) => Effect.Effect<A, E>) =>
    Effect.runPromise(
      Effect.flatMap(HttpClient.HttpClient, (client) => use(remoteCritic(client, { url, deadlineSeconds: 5 }))).pipe(
        Effect.provide(FetchHttpClient.layer)
      )
    )
  return { asked, using, url }
}

const row = { ids: Int32Array.of(1, 2, 3), lossMask: Uint8Array.of(0, 1, 1) }
const right = [200, encodeWire({ values: [Float32Array.of(0.5, -1)] })] as const

describe("a critic elsewhere", () => {
  it("is asked again after what may pass", async () => {
    const { asked, using } = await served(undefined, [503, "{}"], right)
    expect(await using(({ values }) => values([row]))).toEqual([Float32Array.of(0.5, -1)])
    expect(asked).toEqual(["/v1/critic/values", "/v1/critic/values", "/v1/critic/values"])
  })

  it("is taught a lesson once: whether it has learnt it when the connection breaks, nobody knows", async () => {
    const { asked, using } = await served(undefined, [200, '{"lesson":0}'])
    const error = await using(({ train }) => Effect.flip(train({ rows: [], steps: [] })))
    expect(error.message).toContain("the critic failed to learn: http://127.0.0.1:")
    expect(error.reason).toContain("no connection")
    expect(asked).toHaveLength(1)
  })

  it.each([
    ["refuses", [400, '{"error":{"message":"rows: is no list"}}'], "status 400, rows: is no list"],
    ["says nothing that can be read", [200, "[1, 2]"], "it answered what cannot be read: is no object"],
    [
      "gives values of others",
      [200, encodeWire({ values: [Float32Array.of(1)] })],
      "not one finite value for each token"
    ],
    ["gives NaN", [200, encodeWire({ values: [Float32Array.of(1, NaN)] })], "not one finite value for each token"]
  ] as const)("fails at once where it %s", async (_, answer, reason) => {
    const { asked, using } = await served(answer)
    const error = await using(({ values }) => Effect.flip(values([row])))
    expect(error).toMatchObject({ _tag: "CriticFailed", during: "values" })
    expect(error.reason).toContain(reason)
    expect(asked).toHaveLength(1)
  })
})
