import { Effect, Stream } from "effect"
import { afterEach, describe, expect, it } from "vitest"
import { samplingOptions } from "../sampling/options.ts"
import { choice, closeServers, generatorOf, ok, one, ROW, serve } from "../testing/scripted-server.ts"

afterEach(closeServers)

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
      // a server's own defaults would be others
      top_k: -1,
      min_p: 0,
      repetition_penalty: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
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
      { sampling, stopInSpecialTokens: true },
      { unknownLogProbs: true, tokenIdFields: { detokenize: false } }
    )
    expect(asked[0]!.body).toMatchObject({
      skip_special_tokens: false,
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
    const { group } = await one([{ body }], { topLogProbs: 2, sampling: { ...ROW.sampling, stopStrings: ["end"] } })
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

  it("puts responses in their order, whatever the server's", async () => {
    const named = (index: number) => choice({ index, token_ids: [index, 5] })
    const { group } = await one([ok(named(2), named(0), named(1))], { samples: 3 })
    expect(group!.responses.map(({ responseIds, sample }) => [sample, responseIds[0]])).toEqual([
      [0, 0],
      [1, 1],
      [2, 2]
    ])
  })

  it("asks for no more tokens than the context holds, as the engine does", async () => {
    const { asked } = await one([ok(choice({ prompt_token_ids: null }))], { promptIds: new Int32Array(60).fill(1) })
    expect(asked[0]!.body.max_tokens).toBe(4)
  })

  it("asks for no least number of tokens beyond it, either", async () => {
    const sampling = samplingOptions({ maxNewTokens: 8, minNewTokens: 6, stopIds: [5] })
    const { asked } = await one([ok(choice({ prompt_token_ids: null }))], {
      promptIds: new Int32Array(60).fill(1),
      sampling
    })
    expect(asked[0]!.body).toMatchObject({ max_tokens: 4, min_tokens: 4 })
  })

  it("asks nobody for responses that have no room, and scores a prompt without them", async () => {
    const full = { promptIds: new Int32Array(64).fill(1), samples: 2 }
    const { asked, group } = await one([ok(choice())], full)
    expect(asked).toEqual([])
    expect(
      group!.responses.map(({ finishReason, responseIds, sample }) => [sample, responseIds, finishReason])
    ).toEqual([0, 1].map((sample) => [sample, new Int32Array(0), "length"]))
    const token_logprobs = [null, ...Array.from({ length: 63 }, () => -1)]
    const echoed = choice({
      token_ids: [],
      prompt_token_ids: null,
      logprobs: { token_logprobs },
      finish_reason: "length"
    })
    const scored = await one([ok(echoed)], { ...full, samples: 1, promptLogProbs: true })
    expect(scored.asked[0]!.body).toMatchObject({ max_tokens: 0, echo: true })
    expect(scored.group!.prompt!.logProbs).toHaveLength(64)
  })

  it("refuses what no generator can do before anything is sent, in the engine's words", async () => {
    const refused = async (row: object) => {
      const { asked, error } = await one([ok(choice())], row)
      expect(asked).toEqual([])
      return error!.message
    }
    const sampling = samplingOptions({ stopIds: [100] })
    expect(await refused({ promptIds: new Int32Array(65).fill(1) })).toBe(
      "generation refused: promptIds has 65 tokens, the context holds 64"
    )
    expect(await refused({ promptIds: new Int32Array(0) })).toBe("generation refused: promptIds has no tokens")
    expect(await refused({ promptIds: Int32Array.of(1, 100) })).toMatch(/promptIds has token id 100, outside/)
    expect(await refused({ sampling })).toMatch(/stopIds has token id 100, outside the vocabulary of 100/)
    expect(await refused({ samples: 0 })).toMatch(/samples is 0, not a whole number/)
  })

  it("wants to know the limits, from the server or from the options", async () => {
    const { baseUrl } = await serve([], { data: [{ id: "a" }, { id: "b", max_model_len: 32 }] })
    await expect(generatorOf({ baseUrl })).rejects.toThrow(/does not say the contextTokens of a/)
    await expect(generatorOf({ baseUrl, model: "b" })).rejects.toThrow(/does not say the vocabulary of b/)
    const odd = await serve([], { data: [{ id: "a", max_model_len: -1, vocabulary: 100 }] })
    await expect(generatorOf(odd)).rejects.toThrow(
      /no list of models: Expected a value greater than 0[^]+max_model_len/
    )
    await expect(generatorOf({ ...odd, maxConcurrency: 0 })).rejects.toThrow(
      /maxConcurrency is 0: nothing would ever be/
    )
    await expect(generatorOf({ baseUrl, model: "c" })).rejects.toThrow(/has no model c; it lists: a, b/)
    expect((await generatorOf({ baseUrl: `${baseUrl}/`, model: "b", vocabulary: 9 })).limits).toEqual({
      contextTokens: 32,
      vocabulary: 9
    })
  })

  it("reads a part of a stream with more tokens than a function takes arguments", async () => {
    const maxNewTokens = 200_000
    const [ids, logProbs] = [7, -1].map((one) => Array.from({ length: maxNewTokens }, () => one))
    const whole = choice({ token_ids: ids, logprobs: { token_logprobs: logProbs }, finish_reason: "length" })
    const { baseUrl } = await serve([{ body: `data: ${JSON.stringify({ choices: [whole] })}\n\n` }])
    const generator = await generatorOf({ baseUrl, contextTokens: 2 * maxNewTokens })
    const row = { ...ROW, sampling: samplingOptions({ maxNewTokens }) }
    const events = await Effect.runPromise(Stream.runCollect(generator.stream(row)))
    expect(events.map(({ _tag }) => _tag)).toHaveLength(maxNewTokens + 1)
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
    const text = event({ token_ids: null, logprobs: null, prompt_token_ids: null, finish_reason: null })
    await expect(collect(begun + text + end)).rejects.toThrow(/returned text without token ids/)
    const failed = 'data: {"error": {"message": "the engine died"}}\n\n'
    await expect(collect(begun + end + end)).rejects.toThrow(/goes on with response 0 after its end/)
    const endless = event({ ...part(7), finish_reason: null }).repeat(9)
    await expect(collect(endless)).rejects.toThrow(/9 tokens where at most 8/)
    await expect(collect(`${begun}data: {"choices": NaN}\n\n`)).rejects.toThrow(/streams what is not JSON/)
    await expect(collect(begun + failed)).rejects.toThrow(/broke off: the engine died/)
  })
})
