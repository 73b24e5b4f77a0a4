import { type CausalLM, fixedDigest, ownVariables, shapesOf } from "@plumbline/models"
import { tinyModel } from "@plumbline/models/testing"
import { ModelRuntime } from "@plumbline/runtime"
import { Effect, Stream } from "effect"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import { MODELS, ROW } from "../testing/scripted-server.ts"
import { patientHttp } from "./http-client.ts"
import type { RemoteOptions } from "./options.ts"
import { remotePolicyGenerator } from "./policy-generator.ts"

const servers: Array<Server> = []
afterEach(() => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close())))

const listening = async (listener: RequestListener) => {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
}

/** What comes of a generator of a policy over a server with its place, which takes weights and never says so. */
const overSilent = <A, E>(
  use: (generator: Effect.Success<ReturnType<typeof remotePolicyGenerator>>) => Effect.Effect<A, E>
) =>
  Effect.runPromise(
    Effect.scoped(
      Effect.gen(function* () {
        const policy = tinyModel(3, { trainable: true })
        const place = yield* placeOf(policy)
        const baseUrl = yield* Effect.promise(() =>
          listening(({ method, url }, response) => {
            if (method === "GET" && url === "/v1/models") response.end(JSON.stringify(MODELS))
            else if (method === "GET" && url === "/v1/weights") response.end(JSON.stringify(place))
            else if (method === "GET") response.writeHead(404).end()
          })
        )
        return yield* Effect.flip(Effect.flatMap(connected(policy, { baseUrl }), use))
      })
    ).pipe(Effect.provide(ModelRuntime.layerWasm))
  )

const placeOf = (policy: CausalLM) =>
  Effect.map(fixedDigest(policy), (fixed) => ({
    version: 0,
    fixed,
    tensors: Object.fromEntries(shapesOf(ownVariables(policy)))
  }))

const connected = (policy: CausalLM, options: RemoteOptions) =>
  remotePolicyGenerator(policy, options).pipe(Effect.provide(patientHttp))

describe("a generator of a policy over a server", () => {
  it("does not wait for one that does not say what weights it has", async () => {
    const baseUrl = await listening(() => undefined)
    const asked = Effect.suspend(() => connected(tinyModel(3, { trainable: true }), { baseUrl, answerSeconds: 0.3 }))
    const error = await Effect.runPromise(Effect.flip(asked).pipe(Effect.provide(ModelRuntime.layerWasm)))
    expect(error).toMatchObject({ _tag: "GeneratorFailed", reason: `${baseUrl}/weights: no answer in 0.3 s` })
  })

  it("counts the time in which weights are sent to a request's deadline", async () => {
    const row = { ...ROW, deadlineSeconds: 0.5 }
    const whole = await overSilent((generator) => generator.generate([row, row]))
    expect(whole).toMatchObject({ _tag: "GenerationTimedOut", seconds: 0.5 })
    const streamed = await overSilent((generator) => Stream.runDrain(generator.stream(row)))
    expect(streamed).toMatchObject({ _tag: "GenerationTimedOut", seconds: 0.5 })
  })
})
