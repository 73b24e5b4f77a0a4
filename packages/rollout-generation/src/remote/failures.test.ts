import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { samplingOptions } from "../sampling/options.ts"
import { remoteGenerator } from "./remote-generator.ts"
import { choice, closeServers, generatorOf, MODELS, nine, ok, one, ROW, serve } from "../testing/scripted-server.ts"

afterEach(closeServers)

describe("a remote generator whose server fails it", () => {
  it.each([
    [
      "no token ids",
      choice({ token_ids: undefined, logprobs: { tokens: ["a", "b"], token_logprobs: [-1, -1] } }),
      /without token ids/
    ],
    ["an empty response", choice({ token_ids: [], logprobs: { tokens: [], token_logprobs: [] } }), /an empty response/],
    ["too few log-probs", choice({ logprobs: { token_logprobs: [-1] } }), /1 log-probs for 2 tokens/],
    ["a gap in them", choice({ logprobs: { token_logprobs: [-1, null] } }), /have a gap/],
    [
      "an infinite log-prob",
      choice({ logprobs: { token_logprobs: [-1, "INFINITE"] } }),
      /-Infinity, which is no log-prob/
    ],
    ["a probability above 1", choice({ logprobs: { token_logprobs: [-1, 0.5] } }), /have 0\.5, which is no log-prob/],
    ["a token beyond the vocabulary", choice({ token_ids: [7, 100] }), /token id 100, outside the vocabulary of 100/],
    ["more tokens than asked for", choice(nine), /9 tokens where at most 8 were asked for/],
    ["no log-probs", choice({ logprobs: null }), /0 log-probs for 2 tokens; set tokenIdFields/],
    ["a number for −∞", choice({ logprobs: { token_logprobs: [-1, -9999.0] } }), /-9999, which is no log-prob/],
    ["float32's least", choice({ logprobs: { token_logprobs: [-1, -3.4e38] } }), /-3\.4e\+38, which is no log-prob/],
    ["a response without its stop token", choice({ stop_reason: 6 }), /token id 6 and leaves it out/],
    ["a stop string of its own", choice({ matched_stop: "NaN happened" }), /by "NaN happened", which is none of/],
    ["too few versions", choice({ policy_versions: [1] }), /1 policy_versions for 2 tokens/],
    ["another prompt", choice({ prompt_token_ids: [1, 2] }), /another prompt/],
    ["an abort", choice({ finish_reason: "abort" }), /finish_reason "abort"/],
    ["too few responses", undefined, /responses \[\] where 1/],
    ["a response twice", [choice(), choice()], /responses \[0, 0\]/],
    ["another shape", [{ text: "ab" }], /no shape that is known/]
  ])("never takes %s for an answer", async (_, choices, reason) => {
    const { body } = ok(...[choices ?? []].flat())
    const { asked, error } = await one([{ body: JSON.stringify(body).replace('"INFINITE"', "-1e999") }])
    expect(error!._tag).toBe("GeneratorFailed")
    expect(error!.message).toMatch(reason)
    expect(error!.message).toContain("row 0")
    expect(asked).toHaveLength(1)
  })

  it.each([
    ["a page", "<html>502 from a proxy that says 200</html>", /answered with no JSON: <html>502/],
    ["Python's NaN", JSON.stringify(ok(choice()).body).replace("-0.25", "NaN"), /answered with no JSON/],
    ["half an answer", JSON.stringify(ok(choice()).body).slice(0, 50), /answered with no JSON/],
    ["nothing", "", /answered with no JSON/]
  ])("fails at once on %s for an answer", async (_, body, reason) => {
    const { asked, error } = await one([{ body }])
    expect([error!._tag, asked.length]).toEqual(["GeneratorFailed", 1])
    expect(error!.message).toMatch(reason)
  })

  const event = (value: unknown) => `data:${JSON.stringify(value)}\r\n\r\n`
  const { body: whole } = ok(choice())
  it.each([
    ["an answer that is none of events", JSON.stringify(whole), /what it sent is no event: \{"id":"x"/],
    ["a page", "<html>busy</html>", /no event: <html>busy/],
    ["half a stream", ": ping\n\nevent: message\nid: 1\n", /stream ended before every response had;/],
    ["an error in words", event({ error: "out of memory" }), /it broke off: out of memory/],
    ["an error without words", event({ error: { code: 507 } }), /it broke off: \{"code":507\}/]
  ])("names %s for a stream", async (_, body, reason) => {
    const { baseUrl } = await serve([{ body }])
    const generator = await generatorOf({ baseUrl })
    const error = await Effect.runPromise(Effect.flip(Stream.runDrain(generator.stream(ROW))))
    expect([error._tag, error.message]).toEqual(["GeneratorFailed", expect.stringMatching(reason)])
  })

  it("tells what a server says that answers an error with success", async () => {
    const { error } = await one([{ body: { error: { message: "out of memory" } } }])
    expect(error!.message).toContain("it broke off: out of memory")
  })

  it("reads streams as they may be written", async () => {
    const { baseUrl } = await serve([{ body: `: hello\r\n\r\n${event(whole)}data:[DONE]\r\n\r\n` }])
    const events = await Effect.runPromise(Stream.runCollect((await generatorOf({ baseUrl })).stream(ROW)))
    expect(events.map(({ _tag }) => _tag)).toEqual(["Token", "Token", "Finished"])
  })

  it("waits until the time that a server names", async () => {
    const busy = { status: 503, headers: { "retry-after": new Date(Date.now() + 2000).toUTCString() }, body: "" }
    const since = performance.now()
    expect((await one([busy, ok(choice())])).group).toBeDefined()
    // dates are in whole seconds
    expect(performance.now() - since).toBeGreaterThan(900)
  })

  it("waits for a slow server until the deadline, retries included, and keeps what was finished", async () => {
    const { baseUrl } = await serve([ok(choice()), { ...ok(choice()), after: 60_000 }])
    const generator = await generatorOf({ baseUrl, maxConcurrency: 1 })
    const rows = [ROW, { ...ROW, deadlineSeconds: 0.2 }]
    const late = await Effect.runPromise(Effect.flip(generator.generate(rows)))
    expect(late).toMatchObject({ _tag: "GenerationTimedOut", seconds: 0.2, finished: [{ request: 0 }] })
    const stream = Stream.runDrain(generator.stream({ ...ROW, deadlineSeconds: 0.2 }))
    expect((await Effect.runPromise(Effect.flip(stream)))._tag).toBe("GenerationTimedOut")
    const down = await one([{ status: 503, body: "" }], { deadlineSeconds: 0.2 }, { retryDelay: 40, maxRetries: 99 })
    expect(down.error!._tag).toBe("GenerationTimedOut")
    expect(await Effect.runPromise(generator.load)).toMatchObject({ running: 0, waiting: 0 })
  })

  it("does not make up log-probs that the server does not report", async () => {
    const sampling = samplingOptions({ temperature: 0.5, stopIds: [5], maxNewTokens: 8 })
    expect((await one([ok(choice())], { sampling })).error!.message).toMatch(/does not report sampling_logprobs/)
    const { group } = await one([ok(choice())], { sampling }, { unknownLogProbs: true })
    expect([...group!.responses[0]!.samplingLogProbs]).toEqual([NaN, NaN])
    expect([...group!.responses[0]!.policyLogProbs]).toEqual([-0.5, -0.25])
    const processed = await one([ok(choice())], { sampling }, { unknownLogProbs: true, logProbs: "sampling" })
    expect([...processed.group!.responses[0]!.policyLogProbs]).toEqual([NaN, NaN])
    const greedy = await one([ok(choice())], { sampling: samplingOptions({ temperature: 0, stopIds: [5] }) })
    expect([...greedy.group!.responses[0]!.samplingLogProbs]).toEqual([0, 0])
  })

  it("refuses what older weights made", async () => {
    const answer = { body: { choices: [choice()], system_fingerprint: "plumbline-v3" } }
    expect((await one([answer], {}, { expectedVersion: () => 3 })).group).toBeDefined()
    expect((await one([answer], {}, { expectedVersion: () => 4 })).error!.message).toMatch(/version 3, older than 4/)
  })

  it("tries again after failures that pass, as long as the server wants", async () => {
    const busy = { status: 429, headers: { "retry-after": "0.05" }, body: { error: { message: "full" } } }
    const since = performance.now()
    const { asked, group } = await one([busy, { status: 503, body: "" }, { body: "", breaks: true }, ok(choice())])
    expect(group).toBeDefined()
    expect(asked).toHaveLength(4)
    expect(performance.now() - since).toBeGreaterThan(45)
  })

  it("gives up after so many tries, and at once on what will not pass", async () => {
    const down = await one([{ status: 500, body: { error: { message: "out of memory" } } }], {}, { maxRetries: 2 })
    expect(down.asked).toHaveLength(3)
    expect(down.error!.message).toMatch(/row 0: http:\S+ failed: status 500, out of memory; tried 3 times/)
    const denied = await one([{ status: 401, body: { error: { message: "no" } } }])
    expect([denied.asked.length, denied.error!._tag]).toEqual([1, "GeneratorFailed"])
    const wrong = await one([{ status: 400, body: { error: { message: "too long", param: "prompt" } } }])
    expect([wrong.asked.length, wrong.error!._tag]).toEqual([1, "GenerationRefused"])
    expect(wrong.error!.message).toMatch(/prompt of row 0 was refused by http:\S+: status 400, too long/)
  })

  it("names the row that failed and keeps what was finished", async () => {
    const { baseUrl } = await serve([ok(choice()), ok(choice()), { status: 404, body: "gone" }])
    const generator = await generatorOf({ baseUrl, maxConcurrency: 1 })
    const error = await Effect.runPromise(Effect.flip(generator.generate([ROW, ROW, ROW, ROW])))
    expect(error.message).toMatch(/row 2: http:\S+ failed: status 404, gone; 2 responses finished/)
    expect("finished" in error && error.finished.map(({ request }) => request)).toEqual([0, 1])
  })

  it("keeps what was finished where the server refuses a row", async () => {
    const { baseUrl } = await serve([ok(choice()), ok(choice()), { status: 400, body: "bad" }])
    const generator = await generatorOf({ baseUrl, maxConcurrency: 1 })
    const error = await Effect.runPromise(Effect.flip(generator.generate([ROW, ROW, ROW, ROW])))
    expect(error).toMatchObject({ _tag: "GenerationRefused", finished: [{ request: 0 }, { request: 1 }] })
    expect(error.message).toMatch(/request of row 2 was refused by http:\S+: status 400, bad; 2 responses finished/)
  })

  it("does not wait for a server that hangs to say which weights it has", async () => {
    const hung = createServer(() => undefined)
    await new Promise<void>((resolve) => hung.listen(0, "127.0.0.1", resolve))
    const address = `http://127.0.0.1:${(hung.address() as AddressInfo).port}/v1`
    await expect(generatorOf({ baseUrl: address, answerSeconds: 0.2 })).rejects.toThrow(
      `${address}/models: no answer in 0.2 s`
    )
    hung.closeAllConnections()
    hung.close()
  })

  it("tells within five seconds that a server was killed in the middle, and keeps what was finished", async () => {
    const server = createServer((request, response) => {
      if (request.method === "GET") return void response.end(JSON.stringify(MODELS))
      request.on("data", (body) => {
        if ((JSON.parse(String(body)) as { seed: number }).seed === 1) response.end(JSON.stringify(whole))
      })
      request.resume()
    })
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
    const generator = await Effect.runPromise(Effect.provide(remoteGenerator({ baseUrl }), FetchHttpClient.layer))
    const failed = Effect.runPromise(Effect.flip(generator.generate([1, 2, 3].map((seed) => ({ ...ROW, seed })))))
    await new Promise((resolve) => setTimeout(resolve, 300))
    const since = performance.now()
    server.closeAllConnections()
    server.close()
    const error = await failed
    expect(error).toMatchObject({ _tag: "GeneratorFailed", finished: [{ request: 0 }] })
    expect(performance.now() - since).toBeLessThan(5000)
  })

  it("says that there is no server", async () => {
    const options = { baseUrl: "http://127.0.0.1:9/v1", maxRetries: 1 }
    await expect(generatorOf(options)).rejects.toThrow(
      /127\.0\.0\.1:9\/v1\/models: no connection \(.+\); tried 2 times/
    )
  })
})
