import { remoteGenerator, type GenerationRequest, samplingOptions } from "@plumbline/rollout-generation"
import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted } from "../testing/serve-scripted.ts"

type Served = Awaited<ReturnType<typeof serveScripted>>

const request = (fields: Partial<GenerationRequest> = {}): GenerationRequest => ({
  promptIds: Int32Array.from(idsOf("hi")),
  seed: 4,
  sampling: samplingOptions({ stopIds: [258], maxNewTokens: 20 }),
  ...fields
})

let served: Served
beforeAll(async () => {
  const says = ({ promptIds }: GenerationRequest, sample: number) => [...promptIds, 48 + sample, ...idsOf("é"), 258]
  served = await serveScripted({ says, stop: { kind: "id", id: 258 } })
})
afterAll(() => served.close())

const remote = () =>
  Effect.runPromise(
    remoteGenerator({ baseUrl: `${served.url}/v1`, maxRetries: 0 }).pipe(Effect.provide(FetchHttpClient.layer))
  )

describe("the remote generator over plumb serve", () => {
  const requests = [
    request({ samples: 3, topLogProbs: 2, promptLogProbs: true }),
    request({
      promptIds: Int32Array.of(97),
      sampling: samplingOptions({ temperature: 0.5, topP: 0.9, stopIds: [258] })
    }),
    request({
      promptIds: Int32Array.of(97),
      samples: 2,
      promptLogProbs: true,
      sampling: samplingOptions({ temperature: 0.5, stopIds: [258] })
    }),
    request({ samples: 2, sampling: samplingOptions({ maxNewTokens: 2, stopIds: [258] }) })
  ]

  it("gives what the server's own generator gives, to the last log-prob", async () => {
    const far = await remote()
    expect(far.limits).toEqual(served.generator.limits)
    const groups = await Effect.runPromise(far.generate(requests))
    expect(groups).toEqual(await Effect.runPromise(served.generator.generate(requests)))
  })

  it("streams the same events", async () => {
    const far = await remote()
    for (const one of requests) {
      const collect = (generator: typeof far) => Effect.runPromise(Stream.runCollect(generator.stream(one)))
      const bySample = (events: Awaited<ReturnType<typeof collect>>) =>
        Object.groupBy(events, (event) =>
          event._tag === "Prompt" ? "prompt" : String(event._tag === "Token" ? event.sample : event.response.sample)
        )
      expect(bySample(await collect(far))).toEqual(bySample(await collect(served.generator)))
    }
  })

  it("knows the version of the weights, and counts what it does", async () => {
    const far = await remote()
    expect(await Effect.runPromise(far.policyVersion)).toBe(7)
    await Effect.runPromise(far.generate(requests))
    expect(await Effect.runPromise(far.load)).toMatchObject({
      running: 0,
      waiting: 0,
      promptTokens: 6,
      finishedResponses: 8
    })
  })

  it("cancels on the server what is interrupted here", async () => {
    const slow = await serveScripted({ says: () => idsOf("x".repeat(150)), pause: 10 })
    const far = await Effect.runPromise(
      remoteGenerator({ baseUrl: `${slow.url}/v1` }).pipe(Effect.provide(FetchHttpClient.layer))
    )
    const long = request({ sampling: samplingOptions({ maxNewTokens: 150 }) })
    const error = await Effect.runPromise(Effect.flip(far.generate([{ ...long, deadlineSeconds: 0.2 }])))
    expect(error._tag).toBe("GenerationTimedOut")
    await Effect.runPromise(Stream.runDrain(Stream.take(far.stream(long), 2)))
    while (slow.generator.active() > 0 || slow.inFlight() > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    await slow.close()
  })
})
