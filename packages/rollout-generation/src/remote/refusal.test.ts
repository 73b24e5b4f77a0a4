import { Effect, Stream } from "effect"
import { afterEach, describe, expect, it } from "vitest"
import { patientHttp } from "./http-client.ts"
import { remoteGenerator } from "./remote-generator.ts"
import { choice, closeServers, generatorOf, ok, one, ROW, serve } from "../testing/scripted-server.ts"

afterEach(closeServers)

describe("a server that refuses", () => {
  it.each([
    ["OpenAI's", { error: { message: "too long", param: "prompt" } }, "prompt", "too long"],
    ["vLLM's of old", { object: "error", message: "too long", type: "BadRequestError" }, "request", "too long"],
    ["FastAPI's", { detail: [{ loc: ["body", "n"], msg: "Input should be 1", input: 2 }] }, "n", "Input should be 1"],
    ["FastAPI's in words", { detail: "no adapter" }, "request", "no adapter"],
    ["TGI's", { error: "`inputs` are too long", error_type: "validation" }, "request", "`inputs` are too long"],
    ["a proxy's", "<html>413 Request Entity Too Large</html>", "request", "<html>413 Request Entity Too Large</html>"],
    ["nobody's", [null], "request", "[null]"]
  ])("is understood where the error is %s", async (_, body, field, words) => {
    const { error } = await one([{ status: 422, body }])
    expect(error).toMatchObject({ _tag: "GenerationRefused", field })
    expect(error!.message).toMatch(/^generation refused: \S+ of row 0 was refused by http:\S+: status 422, /)
    expect(error!.message).toContain(`, ${words};`)
  })

  it("is told of though its error never ends", async () => {
    const since = performance.now()
    const { asked, error } = await one([{ status: 400, body: "bad", open: true }])
    expect([asked.length, error!._tag]).toEqual([1, "GenerationRefused"])
    expect(error!.message).toContain("status 400, bad;")
    const long = await one([{ status: 400, body: "x".repeat(2 ** 20), open: true }])
    expect(long.error!.message.length).toBeLessThan(400)
    expect(performance.now() - since).toBeLessThan(3500)
  })

  it("is waited for as long behind a proxy that has lost it as where it is lost itself", async () => {
    const times = { retryDelay: 50, reconnectSeconds: 0.2 }
    const lost = await one([{ status: 502, body: "<h1>Bad Gateway</h1>" }], {}, times)
    // waits of 50 and 100 ms, and none of 200
    expect([lost.asked.length, lost.error!._tag]).toEqual([3, "GeneratorFailed"])
    const busy = await one([{ status: 503, body: "" }], {}, { ...times, maxRetries: 3 })
    expect(busy.asked).toHaveLength(4)
  })

  it("is not waited for where it wants to be left alone for an hour", async () => {
    const { asked, error } = await one([{ status: 429, headers: { "retry-after": "3600" }, body: "quota" }])
    expect([asked.length, error!._tag]).toEqual([1, "GeneratorFailed"])
    expect(error!.message).toMatch(/status 429, quota; it wants to be left alone for 3600 s/)
  })
})

describe("a remote generator", () => {
  it.each(["localhost:8000/v1", "ftp://127.0.0.1/v1", "127.0.0.1:8000/v1", "http://127.0.0.1:99999/v1", ""])(
    "says that %j is no address",
    async (baseUrl) => {
      const connected = remoteGenerator({ baseUrl }).pipe(Effect.provide(patientHttp))
      const error = await Effect.runPromise(Effect.flip(connected))
      expect([error._tag, error.message]).toEqual(["GeneratorFailed", expect.stringMatching(/no address of a server/)])
    }
  )

  it("tells of an address without its version, and of one that leads elsewhere", async () => {
    const { baseUrl } = await serve([{ status: 308, headers: { location: "https://far/v1/completions" }, body: "" }])
    const bare = Effect.flip(remoteGenerator({ baseUrl: baseUrl.slice(0, -3) }).pipe(Effect.provide(patientHttp)))
    const { message } = await Effect.runPromise(bare)
    expect(message).toMatch(/\/models: status 404; an address ends with the API's version: \/v1;/)
    const away = Effect.flatMap(remoteGenerator({ baseUrl }), (generator) => Effect.flip(generator.generate([ROW])))
    const moved = await Effect.runPromise(away.pipe(Effect.provide(patientHttp)))
    expect(moved.message).toMatch(/row 0: http:\S+ failed: status 308, which leads to https:\/\/far\/v1\/completions;/)
  })

  it("says that a token cannot be sent, and not which", async () => {
    const { asked, baseUrl } = await serve([ok(choice())])
    const connected = remoteGenerator({ baseUrl, token: "s3cret\n" }).pipe(Effect.provide(patientHttp))
    const error = await Effect.runPromise(Effect.flip(connected))
    expect([error._tag, asked.length]).toEqual(["GeneratorFailed", 0])
    expect(error.message).toMatch(/the header "authorization" cannot be sent/)
    expect(error.message).not.toContain("s3cret")
  })

  it("ends a stream at its [DONE], though the connection stays open", async () => {
    const body = `data: ${JSON.stringify(ok(choice()).body)}\n\ndata: [DONE]\n\n`
    const { baseUrl } = await serve([{ body, open: true }])
    const stream = (await generatorOf({ baseUrl })).stream({ ...ROW, deadlineSeconds: 3 })
    const events = await Effect.runPromise(Stream.runCollect(stream))
    expect(events.map(({ _tag }) => _tag)).toEqual(["Token", "Token", "Finished"])
  })
})
