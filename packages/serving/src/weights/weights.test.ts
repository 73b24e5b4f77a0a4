import { byteTokenizer, tokenizerThread } from "@plumbline/data"
import { type CausalLM, createModel, encodeSafetensors, ownVariables, weightsDigest } from "@plumbline/models"
import { tinyModel, tinyTable } from "@plumbline/models/testing"
import { engineGenerators, type GeneratorShape, remotePolicyGenerator } from "@plumbline/rollout-generation"
import { prompt, request } from "@plumbline/rollout-generation/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Deferred, Effect, Exit, Fiber, Schema, Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openaiRoutes } from "../openai/routes.ts"
import { loopbackAccess } from "../shell/access.ts"
import { admission } from "../shell/admission.ts"
import { Limits } from "../shell/limits.ts"
import { metricsPage } from "../shell/metrics.ts"
import { serveHttp } from "../shell/serve-http.ts"
import { rawRequest } from "../testing/raw-client.ts"
import { weightsReceiver } from "./weights-receiver.ts"
import { noWeightsRoutes, weightsRoutes } from "./weights-routes.ts"

const scope = Scope.makeUnsafe()
const limits = Schema.decodeSync(Limits)({ maxBodySeconds: 0.5 })
const run = <A, E>(effect: Effect.Effect<A, E, ModelRuntime | Scope.Scope>) =>
  Effect.runPromise(Scope.provide(Effect.provide(effect, ModelRuntime.layerWasm), scope) as Effect.Effect<A, E>)

let served: CausalLM
let own: GeneratorShape
let url: string
let closed: string
beforeAll(async () => {
  const start = (routes: Parameters<typeof serveHttp>[0]["routes"]) => {
    const shell = { limits, admission: admission(limits), metrics: metricsPage(), access: loopbackAccess }
    return Effect.map(serveHttp({ ...shell, routes, host: "127.0.0.1", port: 0 }), (listening) => listening.url)
  }
  const started = Effect.gen(function* () {
    served = tinyModel(3, { trainable: true })
    const [generator] = yield* engineGenerators([served])
    own = generator!
    const receiver = weightsReceiver(served, generator!)
    const tokenizer = byteTokenizer({ specials: [] })
    const model = {
      id: "tiny",
      aliases: [],
      created: 1,
      tokenizer,
      tokenizerThread: yield* tokenizerThread(tokenizer),
      generator: own,
      endTokens: []
    }
    const shared = { limits, admission: admission(limits), metrics: metricsPage(), maxResponses: 64 }
    const api = openaiRoutes({ ...shared, models: [model], weightsRun: receiver.run })
    url = yield* start([...api, ...weightsRoutes(receiver, limits)])
    closed = yield* start([...api, ...noWeightsRoutes])
  })
  await run(started)
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

const digest = (model: CausalLM) => Effect.runPromise(weightsDigest(model))

type Entry = { readonly name: string; readonly shape: ReadonlyArray<number>; readonly values: Float32Array }
const entriesOf = (model: CausalLM): ReadonlyArray<Entry> =>
  [...ownVariables(model)].map(([name, tensor]) => ({
    name,
    shape: tensor.shape,
    values: tensor.dataSync() as Float32Array
  }))

const post = async (query: string, body: Uint8Array<ArrayBuffer>, type = "application/octet-stream") => {
  const answer = await fetch(`${url}/v1/weights${query}`, { method: "POST", headers: { "content-type": type }, body })
  const json = (await answer.json()) as { readonly error?: { readonly message: string }; readonly missing?: number }
  return { status: answer.status, message: json.error?.message, missing: json.missing }
}

const remote = (policy: CausalLM, baseUrl = `${url}/v1`) =>
  run(remotePolicyGenerator(policy, { baseUrl, maxRetries: 0 }).pipe(Effect.provide(FetchHttpClient.layer)))
const asked = request(prompt(9, 2), 4, { maxNewTokens: 10 }, { samples: 2 })

describe("weights that are sent to a server", () => {
  it("are taken whole or in parts, all at once, with their version; the parts of others are put aside", async () => {
    const other = tinyModel(5, { trainable: true })
    const [old, wanted, entries] = [await digest(served), await digest(other), entriesOf(other)]
    const [first, rest] = [entries.slice(0, 3), entries.slice(3)]
    expect(await post("?version=7&run=a", encodeSafetensors(first))).toMatchObject({ missing: rest.length })
    expect(await post("?version=8&run=b", encodeSafetensors(first))).toMatchObject({ missing: rest.length })
    expect(await post("?version=8&run=a", encodeSafetensors(rest))).toMatchObject({ missing: 3 })
    expect([await digest(served), served.version.current()]).toEqual([old, 0])
    expect(await post("?version=8&run=a", encodeSafetensors(first))).toMatchObject({ status: 200, missing: 0 })
    expect([await digest(served), served.version.current()]).toEqual([wanted, 8])
    // its answer may have been lost; another transfer under the same stamp begins with another part
    expect(await post("?version=8&run=a", encodeSafetensors(first))).toMatchObject({ status: 200, missing: 0 })
    expect(await post("?version=8&run=a", encodeSafetensors(rest))).toMatchObject({ missing: 3 })
    expect(await post("?version=8&run=a", encodeSafetensors(first))).toMatchObject({ status: 200, missing: 0 })
    expect([await digest(served), served.version.current()]).toEqual([wanted, 8])
    const third = tinyModel(6, { trainable: true })
    expect(await post("?version=2", encodeSafetensors(entriesOf(third)))).toMatchObject({ missing: 0 })
    expect([await digest(served), served.version.current()]).toEqual([await digest(third), 2])
    other.dispose()
    third.dispose()
  })

  it("are set where the sender goes while they wait for a step to end", async () => {
    const [model, other] = [tinyModel(7, { trainable: true }), tinyModel(8, { trainable: true })]
    const parts = entriesOf(other).map(({ name, values }) => new Map([[name, { values: () => values }]]))
    const stamp = { version: 3, run: "a" }
    const sent = Effect.gen(function* () {
      const step = yield* Deferred.make<void>()
      const betweenSteps = <A, E, R>(work: Effect.Effect<A, E, R>) => Effect.andThen(Deferred.await(step), work)
      const { take } = weightsReceiver(model, { betweenSteps })
      for (const part of parts.slice(0, -1)) yield* take(stamp, part)
      const last = yield* Effect.forkChild(take(stamp, parts.at(-1)!), { startImmediately: true })
      const gone = yield* Effect.forkChild(Fiber.interrupt(last), { startImmediately: true })
      yield* Deferred.succeed(step, undefined)
      yield* Fiber.join(gone)
      return yield* take(stamp, parts.at(-1)!)
    })
    expect(await run(sent)).toBe(0)
    expect([await digest(model), model.version.current()]).toEqual([await digest(other), 3])
    for (const each of [model, other]) each.dispose()
  })

  it("are refused with the reason where the model has no place for them, and nothing of them is kept", async () => {
    const before = await digest(served)
    const entries = entriesOf(served).map((entry) => ({ ...entry, values: entry.values.map(() => 0.25) }))
    const [{ name, shape, values }, ...others] = entries as [Entry, ...ReadonlyArray<Entry>]
    const whole = encodeSafetensors(entries)
    const turned = encodeSafetensors([{ name, shape: shape.toReversed(), values }, ...others])
    const foreign = encodeSafetensors([...entries, { name: "lm_head.bias", shape: [1], values: Float32Array.of(1) }])
    const narrowed = whole.slice()
    narrowed.set(new TextEncoder().encode("I32"), Buffer.from(whole).indexOf("F32"))
    const cases: ReadonlyArray<readonly [string, Uint8Array<ArrayBuffer>, number, string, string?]> = [
      ["?version=9", turned, 400, `tensor ${name} has shape [${shape.toReversed().join(", ")}], and it would have`],
      ["?version=9", foreign, 400, "there is no place for tensor lm_head.bias"],
      ["?version=9", narrowed, 400, "is stored as I32; weights are read from F32, BF16, F16"],
      ["?version=9", whole.slice(0, -4), 400, "truncated"],
      ["?version=9", new Uint8Array(64).fill(0xff), 400, "is not one of"],
      ["?version=9", new Uint8Array(3), 400, "the bytes end before"],
      ["", whole, 400, "version: must be the number"],
      ["?version=-1", whole, 400, "version: must be the number"],
      ["?version=9", whole, 415, "application/octet-stream, not application/json", "application/json"]
    ]
    for (const [query, body, status, message, type] of cases) {
      expect(await post(query, body, type)).toMatchObject({ status, message: expect.stringContaining(message) })
    }
    expect(await digest(served)).toBe(before)
    expect(await post("?version=9", encodeSafetensors(others))).toMatchObject({ missing: 1 })
  })

  it("are refused where their length is not said, and where they come too slowly", async () => {
    const head = "POST /v1/weights?version=1 HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/octet-stream\r\n"
    const unsaid = await rawRequest(url, `${head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n`)
    expect([unsaid.status, unsaid.body]).toEqual([411, expect.stringContaining("content-length")])
    const slow = await rawRequest(url, `${head}content-length: 4000\r\n\r\n`, "half")
    expect([slow.status, slow.body]).toEqual([408, expect.stringContaining("within 0.5 s: send it in parts")])
  })

  it("write as the policy's own engine does, at every version", async () => {
    const policy = tinyModel(11, { trainable: true })
    const far = await remote(policy)
    for (const [version, values] of [
      [0, undefined],
      [4, tinyModel(12, { trainable: true })]
    ] as const) {
      for (const [name, tensor] of values === undefined ? [] : ownVariables(values))
        ownVariables(policy).get(name)!.assign(tensor)
      policy.version.set(version)
      const [group] = await run(far.generate([asked]))
      const [expected] = await run(Effect.flatMap(engineGenerators([policy]), ([engine]) => engine!.generate([asked])))
      expect(group).toEqual(expected)
      expect(await run(far.policyVersion)).toBe(version)
      values?.dispose()
    }
    policy.dispose()
  })

  it("are used from the next token on where they come in the middle of a response, even under the same version", async () => {
    const [policy, other] = [tinyModel(21, { trainable: true }), tinyModel(22, { trainable: true })]
    const long = request(prompt(9, 2), 4, { maxNewTokens: 50 })
    const alone = async (model: CausalLM) => {
      const [group] = await run(Effect.flatMap(engineGenerators([model]), ([engine]) => engine!.generate([long])))
      return [...group!.responses[0]!.responseIds]
    }
    await post("?version=1", encodeSafetensors(entriesOf(policy)))
    const running = run(own.generate([long]))
    while ((await run(own.load)).running === 0) await new Promise((resume) => setImmediate(resume))
    await post("?version=1", encodeSafetensors(entriesOf(other)))
    const [group] = await running
    const { policyLogProbs, responseIds } = group!.responses[0]!
    const [before, after] = [await alone(policy), await alone(other)]
    expect([...responseIds]).not.toEqual(before)
    expect([...responseIds]).not.toEqual(after)
    // scored by the new weights alone, the last tokens are what those say after the text so far
    const [scored] = await run(
      own.generate([
        request(Int32Array.of(...long.promptIds, ...responseIds), 0, { maxNewTokens: 0 }, { promptLogProbs: true })
      ])
    )
    expect(scored!.prompt!.logProbs.at(-1)).toBeCloseTo(policyLogProbs.at(-1)!, 4)
    for (const model of [policy, other]) model.dispose()
  })

  it("are not taken for those of a run that did not send them", async () => {
    const [first, second] = [tinyModel(31, { trainable: true }), tinyModel(32, { trainable: true })]
    const [one, two] = [await remote(first), await remote(second)]
    await run(one.generate([asked]))
    await run(two.generate([asked]))
    const refused = await run(Effect.flip(one.generate([asked])))
    expect(refused).toMatchObject({
      _tag: "GeneratorFailed",
      message: expect.stringContaining("another run has sent its weights since")
    })
    first.version.advance()
    await run(one.generate([asked]))
    for (const model of [first, second]) model.dispose()
  })

  it.each([
    ["the server takes none", () => `${closed}/v1`, {}, "start plumb serve with --accept-weights"],
    ["it is another server", () => closed, {}, "status 404, there is nothing at /weights; it is no plumb serve"],
    [
      "it serves another model",
      () => `${url}/v1`,
      { layers: 3 },
      "serves another model, or another adapter, than the one that is trained: there is no place for tensor"
    ],
    ["of another size", () => `${url}/v1`, { width: 32 }, "and it would have ["]
  ])("cannot be sent where %s, which is found before anything is lost", async (_, address, table, reason) => {
    const policy = createModel({ ...tinyTable, ...table }, 3, { trainable: true })
    const failure = await remote(policy, address()).then(() => undefined, String)
    expect(failure).toContain(reason)
    policy.dispose()
  })
})
