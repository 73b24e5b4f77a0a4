import { type LifeWatch, lifeWatch, type LifeWatchOptions, sender } from "@plumbline/rollout-generation"
import { Effect } from "effect"
import { FetchHttpClient, HttpClient } from "effect/http"
import { type ChildProcess, spawn } from "node:child_process"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { root } from "./reference-files.ts"

const started: Array<ChildProcess> = []
const servers: Array<Server> = []
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL")
  for (const server of servers.splice(0)) server.close().closeAllConnections()
})

/** A server of ours in another process, which does nothing else while it works. */
const busyServer = async () => {
  const child = spawn(process.execPath, [join(root, "test", "fixtures", "busy-server.ts")])
  started.push(child)
  const url = await new Promise<string>((resolve) => child.stdout.once("data", (line) => resolve(String(line).trim())))
  return { child, url }
}

/** Another's server. */
const otherServer = async (listener: RequestListener) => {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Asks a server, watching it. */
const watching = async (options: LifeWatchOptions) => {
  const client = await Effect.runPromise(Effect.provide(HttpClient.HttpClient, FetchHttpClient.layer))
  const life: LifeWatch = lifeWatch(client, { silence: 0.6, ...options })
  const send = sender(client, { baseUrl: options.url }, life)
  return (path: string) =>
    Effect.runPromise(
      life
        .over(Effect.scoped(Effect.asVoid(send(path, {}))))
        .pipe(Effect.match({ onSuccess: () => "answered", onFailure: ({ reason }) => reason }))
    )
}

const SILENT = "it gives no sign of life: for 0.6 s it did not even answer that it is busy"
const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

describe("a server that is waited for", () => {
  it("is not taken for stopped while it computes, however long, and is within a moment once it is", async () => {
    const { child, url } = await busyServer()
    const ask = await watching({ url, trustsHealth: false })
    expect(await ask("/work?0")).toBe("answered")
    expect(await ask("/work?2500")).toBe("answered")
    const asked = [ask("/work?60000"), ask("/work?0")]
    await wait(1000)
    child.kill("SIGSTOP")
    const since = performance.now()
    expect(await Promise.all(asked)).toEqual([SILENT, SILENT])
    expect(performance.now() - since).toBeLessThan(3000)
  })

  it("is not taken for stopped by a process that was busy itself, or stopped", async () => {
    const { url } = await busyServer()
    const ask = await watching({ url, trustsHealth: false })
    await ask("/work?0")
    const asked = ask("/work?2500")
    for (const until = performance.now() + 2000; performance.now() < until;) {
      const pause = performance.now() + 700
      while (performance.now() < pause);
      await wait(1)
    }
    expect(await asked).toBe("answered")
  })

  it("is known by /health from its first answer on, though it stops before it is asked again", async () => {
    let stopped = false
    const url = await otherServer((request, response) => {
      if (request.url === "/late") return void setTimeout(() => response.end("{}"), 2500)
      if (!stopped) response.end("{}")
    })
    const ask = await watching({ url, trustsHealth: true })
    expect(await ask("/first")).toBe("answered")
    stopped = true
    expect(await ask("/late")).toBe(SILENT)
  })

  it("keeps nobody waiting for its /health, which may never answer, after its first answer", async () => {
    const url = await otherServer(({ url: path }, response) => void (path === "/health" || response.end("{}")))
    const ask = await watching({ url, trustsHealth: true })
    expect(await ask("/first")).toBe("answered")
    const since = performance.now()
    for (let i = 0; i < 5; i++) expect(await ask("/next")).toBe("answered")
    expect(performance.now() - since).toBeLessThan(250)
  })

  it.each([
    ["/health, where it is another's that answers it while it computes", true, true, SILENT],
    ["its deadline alone, where nothing is known of it", false, true, "answered"],
    ["its deadline alone, where it has no /health", true, false, "answered"]
  ])("is known by %s", async (_, trustsHealth, hasHealth, outcome) => {
    let stopped = false
    const url = await otherServer((request, response) => {
      if (request.url === "/late") return void setTimeout(() => response.end("{}"), 2500)
      if (!stopped) response.writeHead(hasHealth ? 200 : 404).end()
    })
    const ask = await watching({ url, trustsHealth })
    const asked = ask("/late")
    await wait(600)
    stopped = true
    expect(await asked).toBe(outcome)
  })
})
