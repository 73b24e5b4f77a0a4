import { trainByteLevelBpe } from "@plumbline/data"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { idsOf, serveScripted, tokenizer } from "../testing/serve-scripted.ts"
import type { Script } from "@plumbline/rollout-generation/testing"

type Served = Awaited<ReturnType<typeof serveScripted>>

/** A server for one test. */
const using = async <A>(
  script: Partial<Script>,
  run: (served: Served) => Promise<A>,
  speaks = tokenizer
): Promise<A> => {
  const served = await serveScripted(script, speaks)
  try {
    return await run(served)
  } finally {
    await served.close()
  }
}

let served: Served
beforeAll(async () => void (served = await serveScripted()))
afterAll(() => served.close())

const BASE = { model: "tiny", prompt: "hi", max_tokens: 10 } as const

// fields that OpenAI's client has no types for
const withIds = { return_token_ids: true }
const idsForTexts = { return_tokens_as_token_ids: true }
const allTokens = { top_k: -1 }
const beyondOpenAI = {
  top_k: 3,
  min_p: 0.05,
  repetition_penalty: 1.1,
  min_tokens: 2,
  stop_token_ids: [9],
  ignore_eos: true,
  allowed_token_ids: [65, 66]
}

describe("/v1/completions", () => {
  it("answers a prompt", async () => {
    const answer = await served.client.completions.create({ ...BASE, seed: 5 })
    expect(answer).toMatchObject({
      object: "text_completion",
      model: "tiny",
      system_fingerprint: "plumbline-v7",
      choices: [{ index: 0, text: "hello", logprobs: null, finish_reason: "stop" }],
      usage: { prompt_tokens: 2, completion_tokens: 5, total_tokens: 7 }
    })
    expect(answer.id).toMatch(/^cmpl-/)
    const [request] = served.generator.requests.slice(-1)
    expect(request).toMatchObject({ samples: 1, seed: 5, topLogProbs: 0, promptLogProbs: false })
    expect([...request!.promptIds]).toEqual([104, 105])
    // ends at the tokenizer's EOS and at the model's
    expect(request!.sampling).toMatchObject({ maxNewTokens: 10, temperature: 1, stopIds: [258, 3] })
  })

  it("hands every sampling field to the generator", async () => {
    await served.client.completions.create({
      ...BASE,
      temperature: 0.5,
      top_p: 0.9,
      stop: ["a", "b"],
      presence_penalty: 0.1,
      frequency_penalty: 0.2,
      logit_bias: { "65": -100 },
      ...beyondOpenAI
    })
    expect(served.generator.requests.at(-1)!.sampling).toEqual({
      maxNewTokens: 10,
      minNewTokens: 2,
      temperature: 0.5,
      topK: 3,
      topP: 0.9,
      minP: 0.05,
      repetitionPenalty: 1.1,
      presencePenalty: 0.1,
      frequencyPenalty: 0.2,
      logitBias: { "65": -100 },
      allowedTokens: [65, 66],
      stopIds: [9],
      stopStrings: ["a", "b"]
    })
    await served.client.completions.create({ model: "/models/tiny", prompt: "x", top_p: 0, seed: -1, ...allTokens })
    const { sampling, seed } = served.generator.requests.at(-1)!
    expect([sampling.maxNewTokens, sampling.topK, seed]).toEqual([16, 0, Number.MAX_SAFE_INTEGER])
    expect(sampling.topP).toBeGreaterThan(0)
  })

  it("has stop strings looked for in the text that it returns", async () => {
    for (const skips of [true, false]) {
      await served.post("/v1/completions", { ...BASE, stop: "a", skip_special_tokens: skips })
      const messages = [{ role: "user", content: "x" }]
      await served.post("/v1/chat/completions", { messages, stop: "a", skip_special_tokens: skips })
      const asked = served.generator.requests.slice(-2).map(({ stopInSpecialTokens }) => stopInSpecialTokens)
      expect(asked).toEqual([!skips, !skips])
    }
  })

  it("puts nothing before a text where nothing is to be added", async () => {
    const bos = tokenizer.encode("<|im_start|>")
    await using(
      {},
      async ({ generator, post }) => {
        for (const add of [true, false]) await post("/v1/completions", { ...BASE, add_special_tokens: add })
        const echoed = { ...BASE, add_special_tokens: false, echo: true, logprobs: 0 }
        const { choices } = JSON.parse((await post("/v1/completions", echoed)).text)
        expect(choices[0].logprobs.text_offset.slice(0, 3)).toEqual([0, 1, 2])
        const prompts = generator.requests.map(({ promptIds }) => [...promptIds])
        expect(prompts).toEqual([
          [...bos, 104, 105],
          [104, 105],
          [104, 105]
        ])
      },
      { ...tokenizer, prefixIds: bos, bosId: bos[0] }
    )
  })

  it("takes what vLLM's clients say beyond that, where it is what is done", async () => {
    const settled = { use_beam_search: false, length_penalty: 1, include_stop_str_in_output: false, detokenize: true }
    expect((await served.post("/v1/completions", { ...BASE, ...settled, priority: 0 })).status).toBe(200)
    const chat = { echo: false, add_generation_prompt: true, continue_final_message: false, add_special_tokens: false }
    const messages = [{ role: "user", content: "x" }]
    expect((await served.post("/v1/chat/completions", { messages, ...settled, ...chat })).status).toBe(200)
    for (const field of Object.keys(chat) as ReadonlyArray<keyof typeof chat>) {
      const other = await served.post("/v1/chat/completions", { messages, [field]: !chat[field] })
      expect([other.status, JSON.parse(other.text).error.param]).toEqual([400, field])
    }
  })

  it("draws a seed where none is given", async () => {
    await served.client.completions.create(BASE)
    await served.client.completions.create(BASE)
    const [one, two] = served.generator.requests.slice(-2)
    expect(one!.seed).not.toBe(two!.seed)
  })

  it("draws one for each prompt: equal prompts in one request are no copies, unless a seed says so", async () => {
    const seedsOf = async (more: object) => {
      await served.client.completions.create({ ...BASE, prompt: ["x", "x", "x"], ...more })
      return served.generator.requests.slice(-3).map(({ seed }) => seed)
    }
    expect(new Set(await seedsOf({})).size).toBe(3)
    expect(await seedsOf({ seed: 7 })).toEqual([7, 7, 7])
  })

  it("takes seeds of 64 bits, equal ones for equal ones", async () => {
    const seeds = [2 ** 62, 2 ** 62, -(2 ** 62) - 2 ** 40, 2 ** 53 + 4]
    for (const seed of seeds) await served.client.completions.create({ ...BASE, seed })
    const seen = served.generator.requests.slice(-4).map(({ seed }) => seed)
    expect(seen.every((seed) => Number.isSafeInteger(seed) && seed >= 0)).toBe(true)
    expect([seen[0] === seen[1], seen[3]]).toEqual([true, 4])
  })

  it("chooses the likeliest of best_of responses, a token, and counts them all", async () => {
    // ids are bytes: a token of id i has the log-prob −i/100
    const texts = ["zz", "b", "aaaa", "c"]
    await using({ says: (_, sample) => idsOf(texts[sample % 4]!) }, async ({ client, generator }) => {
      const answer = await client.completions.create({ ...BASE, best_of: 4, n: 2, logprobs: 0 })
      expect(answer.choices.map(({ index, text }) => [index, text])).toEqual([
        [0, "aaaa"],
        [1, "b"]
      ])
      expect(answer.choices[0]!.logprobs!.token_logprobs).toHaveLength(4)
      expect(answer.usage!.completion_tokens).toBe(8)
      expect(generator.requests.at(-1)!.samples).toBe(4)
      const two = await client.completions.create({ ...BASE, prompt: ["x", "y"], best_of: 4 })
      expect(two.choices.map(({ index, text }) => [index, text])).toEqual([
        [0, "aaaa"],
        [1, "aaaa"]
      ])
    })
  })

  it.each([
    ["token ids", [104, 105], [[104, 105]]],
    ["texts", ["a", "bc"], [[97], [98, 99]]],
    ["lists of token ids", [[1], [2, 3]], [[1], [2, 3]]]
  ])("takes %s", async (_, prompt, expected) => {
    const answer = await served.client.completions.create({ ...BASE, prompt, n: 2 })
    const requests = served.generator.requests.slice(-expected.length)
    expect(requests.map(({ promptIds }) => [...promptIds])).toEqual(expected)
    expect(answer.choices.map(({ index }) => index)).toEqual(expected.flatMap((_, p) => [2 * p, 2 * p + 1]))
    // a prompt counts once, its samples each
    expect(answer.usage).toMatchObject({
      prompt_tokens: expected.flat().length,
      completion_tokens: 10 * expected.length
    })
  })

  it("gives log-probs, of the prompt too where it is echoed", async () => {
    const plain = await served.client.completions.create({ ...BASE, logprobs: 2, max_tokens: 2 })
    // the script: id i has −i/100, and its alternatives are the ids above it
    expect(plain.choices[0]!.logprobs!.tokens).toEqual(["h", "e"])
    expect(plain.choices[0]!.logprobs!.text_offset).toEqual([0, 1])
    expect(plain.choices[0]!.logprobs!.token_logprobs![0]).toBeCloseTo(-1.04, 6)
    expect(Object.keys(plain.choices[0]!.logprobs!.top_logprobs![1]!)).toEqual(["e", "f"])
    expect(plain.choices[0]!.finish_reason).toBe("length")
    const echoed = await served.client.completions.create({ ...BASE, logprobs: 0, echo: true, max_tokens: 1 })
    const [choice] = echoed.choices
    expect(choice).toMatchObject({ text: "hih", logprobs: { tokens: ["h", "i", "h"], text_offset: [0, 1, 2] } })
    expect(choice!.logprobs!.token_logprobs!.map((value) => value && Math.round(value * 100))).toEqual([
      null,
      -105,
      -104
    ])
    expect(choice!.logprobs!.top_logprobs![0]).toBe(null)
    expect(Object.keys(choice!.logprobs!.top_logprobs![2]!)).toEqual(["h"])
  })

  it("scores a prompt without going on", async () => {
    const whole = { ...BASE, logprobs: 0, echo: true, max_tokens: 0 } as const
    const answer = await served.client.completions.create(whole)
    expect(answer.choices[0]).toMatchObject({ text: "hi", finish_reason: "length", logprobs: { tokens: ["h", "i"] } })
    const parts = []
    for await (const part of await served.client.completions.create({ ...whole, stream: true })) parts.push(part)
    expect(parts.map(({ choices }) => choices[0]!.text)).toEqual(["hi", ""])
    expect(parts[0]!.choices[0]!.logprobs!.token_logprobs![0]).toBe(null)
  })

  it("counts a prompt without going on", async () => {
    const answer = await served.client.completions.create({ ...BASE, max_tokens: 0, n: 2 })
    expect(answer.choices).toMatchObject([
      { text: "", logprobs: null, finish_reason: "length" },
      { text: "", logprobs: null, finish_reason: "length" }
    ])
    expect(answer.usage).toEqual({
      prompt_tokens: 2,
      completion_tokens: 0,
      total_tokens: 2,
      prompt_tokens_details: { cached_tokens: 0 }
    })
  })

  it("tells how many tokens of the prompts were cached, of each once", async () => {
    await using({ cachedTokens: 1 }, async ({ client }) => {
      const ask = { ...BASE, prompt: ["ab", "cde"], n: 2 }
      const usage = { prompt_tokens: 5, completion_tokens: 20, prompt_tokens_details: { cached_tokens: 2 } }
      expect((await client.completions.create(ask)).usage).toMatchObject(usage)
      const chunks = []
      const options = { stream: true, stream_options: { include_usage: true } } as const
      for await (const chunk of await client.completions.create({ ...ask, ...options })) chunks.push(chunk)
      expect(chunks.at(-1)!.usage).toMatchObject(usage)
    })
  })

  it("gives the tokens themselves to clients that learn from them", async () => {
    const answer = await served.client.completions.create({ ...BASE, max_tokens: 2, ...withIds })
    expect(answer.choices[0]).toMatchObject({
      prompt_token_ids: [104, 105],
      token_ids: [104, 101],
      policy_versions: [7, 7],
      stop_reason: null
    })
    const { policy_logprobs: policy, sampling_logprobs: sampling } = answer.choices[0] as unknown as Record<
      string,
      number[]
    >
    expect(policy![0]).toBeCloseTo(-1.04, 6)
    expect(sampling![0]).toBeCloseTo(-2.08, 6)
    const named = await served.client.completions.create({
      ...BASE,
      logprobs: 1,
      ...idsForTexts
    })
    expect(named.choices[0]!.logprobs!.tokens![0]).toBe("token_id:104")
  })

  it("streams text, log-probs and usage", async () => {
    await using({ says: () => idsOf("é€!") }, async ({ client }) => {
      const stream = await client.completions.create({
        ...BASE,
        stream: true,
        logprobs: 0,
        stream_options: { include_usage: true },
        ...withIds
      })
      const chunks = []
      for await (const chunk of stream) chunks.push(chunk)
      const choices = chunks.flatMap((chunk) => chunk.choices)
      expect(choices.map(({ text }) => text)).toEqual(["é", "€", "!", ""])
      expect(choices.map(({ logprobs }) => logprobs!.tokens!.length)).toEqual([2, 3, 1, 0])
      expect(choices.map(({ logprobs }) => logprobs!.text_offset![0])).toEqual([0, 1, 2, undefined])
      expect(choices.flatMap((choice) => (choice as unknown as { token_ids: number[] }).token_ids)).toEqual(
        idsOf("é€!")
      )
      expect(choices.map(({ finish_reason }) => finish_reason)).toEqual([null, null, null, "stop"])
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 2, completion_tokens: 6 } })
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
    })
  })

  it("tells the usage so far with every event, where that is asked for", async () => {
    await using({ says: () => idsOf("é!"), cachedTokens: 1 }, async ({ client }) => {
      const options = { include_usage: true, continuous_usage_stats: true }
      const asked = { ...BASE, n: 2, stream: true, stream_options: options } as const
      const chunks = []
      for await (const chunk of await client.completions.create(asked)) chunks.push(chunk)
      const counts = chunks.map(({ usage }) => usage!.completion_tokens)
      expect(counts).toEqual(counts.toSorted((a, b) => a - b))
      // the last event of the choices, and the one without any
      expect(counts.slice(-2)).toEqual([6, 6])
      expect(counts[0]).toBe(2)
      expect(chunks.every(({ usage }) => usage!.total_tokens === usage!.completion_tokens + 2)).toBe(true)
    })
  })

  it("echoes half a character, where a client has cut one in two, as what the model read", async () => {
    const asked = { prompt: "a\ud83d", echo: true, max_tokens: 0, logprobs: 0 }
    const { text } = await served.post("/v1/completions", asked)
    expect(JSON.parse(text).choices[0]).toMatchObject({ text: "a\ufffd", logprobs: { text_offset: [0, 1, 1, 1] } })
  })

  it("streams several prompts and samples at once, echoing each", async () => {
    const says = (request: { readonly promptIds: Int32Array }, sample: number) => [...request.promptIds, 48 + sample]
    await using({ says }, async ({ client }) => {
      const texts = ["", "", "", ""]
      const stream = await client.completions.create({ ...BASE, prompt: ["a", "b"], n: 2, echo: true, stream: true })
      for await (const { choices } of stream) for (const { index, text } of choices) texts[index] += text
      expect(texts).toEqual(["aa0", "aa1", "bb0", "bb1"])
    })
  })

  it("leaves the stop token out of the text, streamed or not, and in the tokens", async () => {
    const said = [...idsOf("aé"), 195, 33]
    await using({ says: () => said, stop: { kind: "id", id: 33 } }, async ({ client }) => {
      const ask = { ...BASE, stop_token_ids: [33], skip_special_tokens: false, logprobs: 0, ...withIds }
      const [whole] = (await client.completions.create(ask)).choices
      const wanted = { text: "aé\uFFFD", finish_reason: "stop", stop_reason: 33, token_ids: said }
      expect(whole).toMatchObject(wanted)
      expect(whole!.logprobs!.tokens).toHaveLength(5)
      const [texts, ids] = [[] as Array<string>, [] as Array<number>]
      for await (const { choices } of await client.completions.create({ ...ask, stream: true })) {
        texts.push(choices[0]!.text)
        ids.push(...(choices[0] as unknown as { token_ids: Array<number> }).token_ids)
      }
      expect([texts.join(""), ids]).toEqual([wanted.text, said])
    })
  })

  it("cuts the text before the stop string, streamed or not", async () => {
    const script = { says: () => idsOf("one\n\ntwo"), stop: { kind: "string", text: "\n\n" } } as const
    await using({ ...script, says: () => idsOf("one\n\n") }, async ({ client }) => {
      const ask = { ...BASE, stop: "\n\n" }
      const whole = await client.completions.create(ask)
      expect(whole.choices[0]).toMatchObject({ text: "one", finish_reason: "stop", stop_reason: "\n\n" })
      let text = ""
      for await (const { choices } of await client.completions.create({ ...ask, stream: true }))
        text += choices[0]!.text
      expect(text).toBe("one")
    })
  })

  it("ends a stream with [DONE], and one that fails with an error instead", async () => {
    const body = { ...BASE, stream: true }
    expect((await served.post("/v1/completions", body)).text.endsWith("data: [DONE]\n\n")).toBe(true)
    await using({ failsAt: 2 }, async ({ client, post }) => {
      const { text } = await post("/v1/completions", body)
      expect(text).not.toContain("[DONE]")
      expect(JSON.parse(text.trimEnd().split("\n").at(-1)!.slice(6)).error).toMatchObject({ code: "generator_failed" })
      const read = async () => {
        for await (const _ of await client.completions.create({ ...BASE, stream: true })) continue
      }
      await expect(read()).rejects.toThrow("out of script")
      await expect(client.completions.create(BASE)).rejects.toThrow(/503.*out of script/)
    })
    await using({ failsAt: 0 }, async ({ post }) => {
      expect((await post("/v1/completions", body)).status).toBe(503)
    })
  })

  it("cancels the generation of a client that leaves", async () => {
    await using({ says: () => idsOf("x".repeat(150)), pause: 5 }, async ({ client, generator, inFlight }) => {
      const stream = await client.completions.create({ ...BASE, max_tokens: 150, stream: true })
      for await (const _ of stream) break
      while (generator.active() > 0 || inFlight() > 0) await new Promise((resolve) => setTimeout(resolve, 5))
      const leaver = new AbortController()
      const gone = client.completions.create({ ...BASE, max_tokens: 150 }, { signal: leaver.signal })
      while (generator.active() === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      leaver.abort()
      await expect(gone).rejects.toThrow()
      while (generator.active() > 0 || inFlight() > 0) await new Promise((resolve) => setTimeout(resolve, 5))
    })
  })

  it.each([
    [{ model: "other" }, 404, "model", "model_not_found"],
    [{ prompt: undefined }, 400, "prompt", "missing_required_parameter"],
    [{ prompt: "" }, 400, "prompt"],
    [{ prompt: [] }, 400, "prompt"],
    [{ prompt: ["a", 1] }, 400, "prompt"],
    [{ prompt: [[]] }, 400, "prompt"],
    [{ prompt: [1.5] }, 400, "prompt"],
    [{ prompt: [tokenizer.vocabSize] }, 400, "prompt"],
    [{ prompt: { a: 1 } }, 400, "prompt"],
    [{ prompt: "x".repeat(200) }, 400, "prompt", "context_length_exceeded"],
    [{ max_tokens: 199 }, 400, "max_tokens", "context_length_exceeded"],
    [{ max_tokens: -1 }, 400, "max_tokens"],
    [{ max_tokens: "5" }, 400, "max_tokens"],
    [{ temperature: -1 }, 400, "temperature"],
    [{ temperature: "hot" }, 400, "temperature"],
    [{ top_p: 1.5 }, 400, "top_p"],
    [{ top_k: -2 }, 400, "top_k"],
    [{ min_p: 2 }, 400, "min_p"],
    [{ n: 0 }, 400, "n"],
    [{ n: 65 }, 400, "n"],
    [{ n: 1.5 }, 400, "n"],
    [{ seed: 0.5 }, 400, "seed"],
    [{ stop: [1] }, 400, "stop[0]"],
    [{ stop: "" }, 400, "stop"],
    [{ presence_penalty: 3 }, 400, "presence_penalty"],
    [{ repetition_penalty: 0 }, 400, "repetition_penalty"],
    [{ logit_bias: { "65": 101 } }, 400, "logit_bias.65"],
    [{ logit_bias: { a: 1 } }, 400, "logit_bias"],
    [{ logit_bias: { 9999: 1 } }, 400, "logit_bias"],
    [{ stop_token_ids: [9999] }, 400, "stop_token_ids"],
    [{ min_tokens: 11 }, 400, "min_tokens"],
    [{ logprobs: 21 }, 400, "logprobs"],
    [{ logprobs: true }, 400, "logprobs"],
    [{ suffix: "b" }, 400, "suffix", "unsupported_parameter"],
    // TRL's client of vLLM
    [{ prompt_logprobs: 5 }, 400, "prompt_logprobs", "unsupported_parameter"],
    [{ structured_outputs: { regex: "a+" } }, 400, "structured_outputs", "unsupported_parameter"],
    [{ best_of: 2, n: 3 }, 400, "best_of"],
    [{ best_of: 2, stream: true }, 400, "best_of"],
    [{ best_of: 65 }, 400, "best_of"],
    [{ seed: 2 ** 64 }, 400, "seed"],
    [{ service_tier: "fast" }, 400, "service_tier"],
    [{ stream: "yes" }, 400, "stream"],
    [{ stream_options: { include_usage: true } }, 400, "stream_options"],
    [{ stream: true, stream_options: { other: 1 } }, 400, "stream_options.other", "unknown_parameter"],
    [{ stream: true, stream_options: { continuous_usage_stats: true } }, 400, "stream_options.continuous_usage_stats"],
    [{ use_beam_search: true }, 400, "use_beam_search"],
    [{ include_stop_str_in_output: true }, 400, "include_stop_str_in_output"],
    [{ temprature: 1 }, 400, "temprature", "unknown_parameter"]
  ])("refuses %j", async (fields, status, param, code?: string) => {
    const answer = await served.post("/v1/completions", { ...BASE, ...fields })
    const { error } = JSON.parse(answer.text)
    expect([answer.status, error.param]).toEqual([status, param])
    expect(error.message.length).toBeGreaterThan(10)
    if (code !== undefined) expect(error.code).toBe(code)
  })

  it("refuses too many responses before it tokenizes their prompts", async () => {
    const read: Array<string> = []
    const listening = { ...tokenizer, encode: (text: string) => (read.push(text), tokenizer.encode(text)) }
    const check = async ({ post }: Served) => {
      const answer = await post("/v1/completions", { prompt: Array.from({ length: 65 }, () => "a") })
      expect([answer.status, JSON.parse(answer.text).error.param, read]).toEqual([400, "prompt", []])
      await post("/v1/completions", { prompt: ["a", "b"] })
      expect(read).toEqual(["a", "b"])
    }
    await using({}, check, listening)
  })

  it("answers others while it tokenizes a text of megabytes", async () => {
    const slow = trainByteLevelBpe(["a b"], { vocabSize: 257, specials: [] })
    const ask = async ({ post, url }: Served) => {
      let answered = false
      const long = post("/v1/completions", { prompt: " ".repeat(2_000_000) }).finally(() => (answered = true))
      await new Promise((resolve) => setTimeout(resolve, 100))
      expect((await fetch(`${url}/health`)).status).toBe(200)
      expect((await post("/v1/completions", BASE)).status).toBe(200)
      expect(answered).toBe(false)
      expect(JSON.parse((await long).text).error.code).toBe("context_length_exceeded")
    }
    await using({}, ask, slow)
  })

  it("takes null for left out, and fields that change nothing", async () => {
    const fields = {
      temperature: null,
      stop: null,
      suffix: null,
      logit_bias: null,
      user: "me",
      service_tier: "flex",
      store: true,
      best_of: 1,
      stream: false
    }
    expect((await served.post("/v1/completions", { ...BASE, ...fields })).status).toBe(200)
    expect((await served.post("/v1/completions", { ...BASE, suffix: "" })).status).toBe(200)
    expect((await served.post("/v1/completions", [])).status).toBe(400)
  })

  it("gives OpenAI's client errors of the right kind", async () => {
    await expect(served.client.completions.create({ ...BASE, model: "no" })).rejects.toMatchObject({
      name: "Error",
      status: 404,
      code: "model_not_found",
      param: "model"
    })
  })
})

describe("/v1/models and the numbers", () => {
  it("lists the model, and finds it by name", async () => {
    expect((await served.client.models.list()).data).toMatchObject([
      { id: "tiny", object: "model", max_model_len: 200 }
    ])
    expect(await served.client.models.retrieve("tiny")).toMatchObject({ id: "tiny", policy_version: 7 })
    await expect(served.client.models.retrieve("other")).rejects.toMatchObject({ status: 404 })
  })

  it("counts tokens, requests and times to the first token", async () => {
    await using({}, async ({ client, url }) => {
      await client.completions.create(BASE)
      for await (const _ of await client.completions.create({ ...BASE, stream: true })) continue
      await client.completions.create({ ...BASE, model: "no" }).catch(() => {})
      const page = await (await fetch(`${url}/metrics`)).text()
      expect(page).toContain("# TYPE plumbline_http_requests_total counter")
      expect(page).toContain('plumbline_http_requests_total{route="/v1/completions",status="200"} 2')
      expect(page).toContain('plumbline_http_requests_total{route="/v1/completions",status="404"} 1')
      expect(page).toContain("plumbline_prompt_tokens_total 4")
      expect(page).toContain("plumbline_generation_tokens_total 10")
      expect(page).toContain("plumbline_time_to_first_token_seconds_count 1")
      expect(page).toMatch(/plumbline_http_request_duration_seconds_bucket\{route="\/v1\/completions",le="\+Inf"\} 3/)
    })
  })
})
