import { Effect, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, describe, expect, it } from "vitest"
import type { GenerationRequest } from "../request.ts"
import { samplingOptions } from "../sampling/options.ts"
import type { RemoteOptions } from "./options.ts"
import { remoteGenerator } from "./remote-generator.ts"

interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
  /** Closes the connection after the headers. */
  readonly breaks?: boolean
}

interface Asked {
  readonly body: Record<string, unknown>
  readonly headers: IncomingHttpHeaders
}

const servers: Array<Server> = []
afterEach(() => servers.splice(0).forEach((server) => (server.closeAllConnections(), server.close())))

const MODELS = { data: [{ id: "far", max_model_len: 64, vocabulary: 100 }] }

/** A server that gives these answers to /completions, one after the other, the last one for ever. */
const serve = async (answers: ReadonlyArray<Answer>, models: unknown = MODELS) => {
  const asked: Array<Asked> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      if (request.url === "/v1/models") {
        response.end(JSON.stringify(models))
        return
      }
      asked.push({ body: JSON.parse(Buffer.concat(chunks).toString()), headers: request.headers })
      const { body, breaks, headers = {}, status = 200 } = answers[Math.min(asked.length, answers.length) - 1]!
      response.writeHead(status, headers)
      if (breaks === true) {
        response.write("{")
        setTimeout(() => request.socket.destroy(), 10)
      } else response.end(typeof body === "string" ? body : JSON.stringify(body))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  servers.push(server)
  return { asked, baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}

const generatorOf = (options: RemoteOptions) =>
  Effect.runPromise(remoteGenerator({ retryDelay: 1, ...options }).pipe(Effect.provide(FetchHttpClient.layer)))

const ROW: GenerationRequest = {
  promptIds: Int32Array.of(1, 2, 3),
  seed: 9,
  sampling: samplingOptions({ maxNewTokens: 8, stopIds: [5] })
}

/** A choice as vLLM 0.11 writes it. */
const choice = (fields: object = {}) => ({
  index: 0,
  text: "ab",
  logprobs: {
    tokens: ["token_id:7", "token_id:5"],
    token_logprobs: [-0.5, -0.25],
    top_logprobs: [{}, {}],
    text_offset: [0, 1]
  },
  finish_reason: "stop",
  stop_reason: null,
  token_ids: [7, 5],
  prompt_token_ids: [1, 2, 3],
  ...fields
})

const ok = (...choices: ReadonlyArray<object>): Answer => ({ body: { id: "x", choices, usage: {} } })

/** What one row over a server with these answers gives. */
const one = async (answers: ReadonlyArray<Answer>, row: Partial<GenerationRequest> = {}, options: object = {}) => {
  const { asked, baseUrl } = await serve(answers)
  const generator = await generatorOf({ baseUrl, ...options })
  const generated = Effect.map(generator.generate([{ ...ROW, ...row }]), ([group]) => group!)
  return {
    asked,
    ...(await Effect.runPromise(
      Effect.match(generated, {
        onSuccess: (group) => ({ group, error: undefined }),
        onFailure: (error) => ({ group: undefined, error })
      })
    ))
  }
}

describe("remoteGenerator", () => {
  it("sends token ids and takes token ids", async () => {
    const { asked, group } = await one([ok(choice())], {}, { token: "t0k", model: "far" })
    expect(asked[0]!.headers.authorization).toBe("Bearer t0k")
    expect(asked[0]!.body).toEqual({
      model: "far",
      prompt: [1, 2, 3],
      n: 1,
      seed: 9,
      max_tokens: 8,
      logprobs: 0,
      temperature: 1,
      top_p: 1,
      stop_token_ids: [5],
      return_token_ids: true,
      return_tokens_as_token_ids: true
    })
    expect(group!.responses).toEqual([
      {
        sample: 0,
        responseIds: Int32Array.of(7, 5),
        samplingLogProbs: Float32Array.of(-0.5, -0.25),
        policyLogProbs: Float32Array.of(-0.5, -0.25),
        policyVersions: Int32Array.of(-1, -1),
        finishReason: "stop",
        stop: { kind: "id", id: 5 },
        topLogProbs: undefined
      }
    ])
  })

  it("sends every sampling option that changes something", async () => {
    const sampling = samplingOptions({
      temperature: 0.5,
      topK: 3,
      topP: 0.9,
      minP: 0.1,
      repetitionPenalty: 1.1,
      presencePenalty: 0.2,
      frequencyPenalty: 0.3,
      logitBias: { "4": 1 },
      allowedTokens: [4, 5],
      minNewTokens: 1,
      stopStrings: ["x"]
    })
    const { asked } = await one(
      [ok(choice())],
      { sampling },
      { unknownLogProbs: true, tokenIdFields: { detokenize: false } }
    )
    expect(asked[0]!.body).toMatchObject({
      temperature: 0.5,
      top_k: 3,
      top_p: 0.9,
      min_p: 0.1,
      repetition_penalty: 1.1,
      presence_penalty: 0.2,
      frequency_penalty: 0.3,
      logit_bias: { "4": 1 },
      allowed_token_ids: [4, 5],
      min_tokens: 1,
      stop: ["x"],
      ignore_eos: true,
      detokenize: false
    })
    expect(asked[0]!.body).not.toHaveProperty("return_token_ids")
  })

  it("reads ids from token names, alternatives by id, stop strings, and SGLang's weight version", async () => {
    const logprobs = {
      tokens: ["token_id:7", "token_id:8"],
      token_logprobs: [-1, -2],
      top_logprobs: [
        { "token_id:9": -0.5, "token_id:7": -1 },
        { "token_id:8": -2, "token_id:7": -0.1, "token_id:1": -3 }
      ]
    }
    const answer = choice({ token_ids: null, logprobs, stop_reason: undefined, matched_stop: "end" })
    const body = { choices: [answer], metadata: { weight_version: "12" } }
    const { group } = await one([{ body }], { topLogProbs: 2 })
    expect(group!.responses[0]).toMatchObject({
      responseIds: Int32Array.of(7, 8),
      policyVersions: Int32Array.of(12, 12),
      stop: { kind: "string", text: "end" },
      topLogProbs: [
        [
          { id: 9, logProb: -0.5 },
          { id: 7, logProb: -1 }
        ],
        [
          { id: 7, logProb: -0.1 },
          { id: 8, logProb: -2 }
        ]
      ]
    })
  })

  it.each([
    [
      "no token ids",
      choice({ token_ids: undefined, logprobs: { tokens: ["a", "b"], token_logprobs: [-1, -1] } }),
      /without token ids/
    ],
    ["an empty response", choice({ token_ids: [], logprobs: { tokens: [], token_logprobs: [] } }), /an empty response/],
    ["too few log-probs", choice({ logprobs: { token_logprobs: [-1] } }), /1 log-probs for 2 tokens/],
    ["a gap in them", choice({ logprobs: { token_logprobs: [-1, null] } }), /have a gap/],
    ["another prompt", choice({ prompt_token_ids: [1, 2] }), /another prompt/],
    ["an abort", choice({ finish_reason: "abort" }), /finish_reason "abort"/],
    ["too few responses", undefined, /responses \[\] where 1/],
    ["a response twice", [choice(), choice()], /responses \[0, 0\]/],
    ["another shape", [{ text: "ab" }], /no shape that is known/]
  ])("never takes %s for an answer", async (_, choices, reason) => {
    const { asked, error } = await one([ok(...[choices ?? []].flat())])
    expect(error!._tag).toBe("GeneratorFailed")
    expect(error!.message).toMatch(reason)
    expect(error!.message).toContain("row 0")
    expect(asked).toHaveLength(1)
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
    expect(down.error!.message).toMatch(/row 0: the server failed: status 500, out of memory; tried 3 times/)
    const denied = await one([{ status: 401, body: { error: { message: "no" } } }])
    expect([denied.asked.length, denied.error!._tag]).toEqual([1, "GeneratorFailed"])
    const wrong = await one([{ status: 400, body: { error: { message: "too long", param: "prompt" } } }])
    expect([wrong.asked.length, wrong.error!._tag]).toEqual([1, "GenerationRefused"])
    expect(wrong.error!.message).toMatch(/prompt of row 0 was refused by the server: status 400, too long/)
  })

  it("names the row that failed and keeps what was finished", async () => {
    const { baseUrl } = await serve([ok(choice()), ok(choice()), { status: 404, body: "gone" }])
    const generator = await generatorOf({ baseUrl, maxConcurrency: 1 })
    const error = await Effect.runPromise(Effect.flip(generator.generate([ROW, ROW, ROW, ROW])))
    expect(error.message).toMatch(/row 2: the server failed: status 404, gone; 2 responses finished/)
    expect("finished" in error && error.finished.map(({ request }) => request)).toEqual([0, 1])
  })

  it("says that there is no server", async () => {
    const options = { baseUrl: "http://127.0.0.1:9/v1", maxRetries: 1 }
    await expect(generatorOf(options)).rejects.toThrow(
      /127\.0\.0\.1:9\/v1\/models: no connection \(.+\); tried 2 times/
    )
  })

  it("wants to know the limits, from the server or from the options", async () => {
    const { baseUrl } = await serve([], { data: [{ id: "a" }, { id: "b", max_model_len: 32 }] })
    await expect(generatorOf({ baseUrl })).rejects.toThrow(/does not say the contextTokens of a/)
    await expect(generatorOf({ baseUrl, model: "b" })).rejects.toThrow(/does not say the vocabulary of b/)
    await expect(generatorOf({ baseUrl, model: "c" })).rejects.toThrow(/has no model c; it lists: a, b/)
    expect((await generatorOf({ baseUrl, model: "b", vocabulary: 9 })).limits).toEqual({
      contextTokens: 32,
      vocabulary: 9
    })
  })

  it("reads a stream, and notices where it breaks off", async () => {
    const event = (fields: object) => `data: ${JSON.stringify({ choices: [choice(fields)] })}\n\n`
    const part = (id: number) => ({ token_ids: [id], logprobs: { token_logprobs: [-id] }, prompt_token_ids: null })
    const begun = event({ ...part(7), finish_reason: null }) + event({ ...part(5), finish_reason: null })
    const end = event({ token_ids: [], logprobs: null, prompt_token_ids: null })
    const collect = async (body: string) => {
      const { baseUrl } = await serve([{ body }])
      return Effect.runPromise(Stream.runCollect((await generatorOf({ baseUrl })).stream(ROW)))
    }
    const events = await collect(`${begun}${end}data: [DONE]\n\n`)
    expect(events.map(({ _tag }) => _tag)).toEqual(["Token", "Token", "Finished"])
    expect(events[2]).toMatchObject({ response: { responseIds: Int32Array.of(7, 5), stop: { kind: "id", id: 5 } } })
    await expect(collect(begun)).rejects.toThrow(/stream ended before every response had/)
    const failed = 'data: {"error": {"message": "the engine died"}}\n\n'
    await expect(collect(begun + failed)).rejects.toThrow(/broke off: the engine died/)
  })
})
