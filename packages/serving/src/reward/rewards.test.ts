import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE, tokenizeCompletion, tokenizerThread } from "@plumbline/data"
import { createScalarModel, llama, type ScalarModel } from "@plumbline/models"
import { modelReward, remoteReward, type RewardGroup, scorer, scoreRows } from "@plumbline/reward-model"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect, Exit, Schema, Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { loopbackAccess } from "../shell/access.ts"
import { admission } from "../shell/admission.ts"
import { Limits } from "../shell/limits.ts"
import { metricsPage } from "../shell/metrics.ts"
import { serveHttp } from "../shell/serve-http.ts"
import { statusRoutes } from "../shell/status-routes.ts"
import { rewardRoutes, watchScorer } from "./reward-routes.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })
const table = {
  family: llama,
  vocabulary: tokenizer.vocabSize,
  width: 16,
  layers: 2,
  heads: 2,
  mlpWidth: 24,
  maxPositions: 96,
  settings: { initializer_range: 0.3 }
}

const scope = Scope.makeUnsafe()
let model: ScalarModel
let url: string
beforeAll(async () => {
  const started = Effect.gen(function* () {
    model = createScalarModel(table, { attributes: ["good", "long"], pooling: "last" }, 3)
    const served = {
      id: "tiny-rm",
      aliases: [],
      created: 1,
      tokenizer,
      tokenizerThread: yield* tokenizerThread(tokenizer),
      model,
      scorer: yield* scorer(model, { batchTokens: 256, batchDelay: 1 }),
      weights: { good: 1, long: -0.5 }
    }
    const limits = Schema.decodeSync(Limits)({ maxBodyBytes: 20_000 })
    const metrics = metricsPage()
    const admitted = admission(limits)
    watchScorer(served, metrics, (yield* ModelRuntime).memory)
    const routes = [
      ...rewardRoutes({ served, limits, admission: admitted, metrics, maxRows: 8 }),
      ...statusRoutes(metrics, Effect.succeed({}))
    ]
    const listening = yield* serveHttp({
      routes,
      limits,
      admission: admitted,
      metrics,
      access: loopbackAccess,
      host: "127.0.0.1",
      port: 0
    })
    return listening.url
  })
  url = await Effect.runPromise(Scope.provide(started.pipe(Effect.provide(ModelRuntime.layerWasm)), scope))
})
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

interface Result {
  readonly id?: string
  readonly index: number
  readonly reward: number
  readonly parts: Readonly<Record<string, number>>
  readonly values: ReadonlyArray<number>
}

const post = async (path: string, body: unknown) => {
  const headers = { "content-type": "application/json" }
  const answer = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) })
  const json = (await answer.json()) as {
    readonly results: ReadonlyArray<Result>
    readonly usage: unknown
    readonly error: { readonly message: string; readonly param: string }
  }
  return { status: answer.status, ...json }
}

const expected = async (...rows: ReadonlyArray<Int32Array>) =>
  (await Effect.runPromise(scoreRows(model, rows))).map(([good, long]) => ({
    good: good!,
    long: long!,
    reward: good! - 0.5 * long!
  }))

it("counts tokens from 0 on", async () => {
  expect(await (await fetch(`${url}/metrics`)).text()).toContain("plumbline_scored_tokens_total 0\n")
})

describe("/v1/rewards", () => {
  it("scores texts, chats, ids and responses, one and many, each as it is alone", async () => {
    const chat = [{ role: "user", content: "hi" }]
    const ids = [5, 6, 7]
    const rendered = tokenizer.encode(tokenizer.renderChat(chat, { addGenerationPrompt: false }))
    const text = tokenizer.encode("abc")
    const pair = tokenizeCompletion(tokenizer, "2+2=", "4").ids
    const answered = tokenizeCompletion(tokenizer, chat, "yes").ids
    const wanted = await expected(Int32Array.from(ids), rendered, text, pair, answered)
    const rows = [
      { id: "x", input_ids: ids },
      { messages: chat },
      { text: "abc" },
      { prompt: "2+2=", response: "4" },
      { messages: chat, response: "yes", answer: "4", fields: { more: 1 } }
    ]
    const { results, status, usage } = await post("/v1/rewards", { model: "tiny-rm", rows })
    expect(status).toBe(200)
    const tokens = 3 + rendered.length + text.length + pair.length + answered.length
    expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens })
    expect(results.map(({ id, index }) => [id, index])).toEqual([
      ["x", 0],
      [undefined, 1],
      [undefined, 2],
      [undefined, 3],
      [undefined, 4]
    ])
    results.forEach(({ parts, reward }, i) => {
      expect(reward).toBeCloseTo(wanted[i]!.reward, 5)
      expect(parts["long"]).toBeCloseTo(wanted[i]!.long, 5)
    })
    const shapes = [
      { input: "abc" },
      { input: ["abc"] },
      { input: [...text] },
      { input: [[...text]] },
      { rows: [{ prompt: "abc" }] }
    ]
    for (const body of shapes) {
      expect((await post("/v1/rewards", body)).results[0]!.reward).toBeCloseTo(wanted[2]!.reward, 5)
    }
    expect((await post("/v1/rewards", { messages: chat })).results[0]!.reward).toBeCloseTo(wanted[1]!.reward, 5)
    const weighed = await post("/v1/rewards", { input: "abc", attribute_weights: { long: 2 } })
    expect(weighed.results[0]!.reward).toBeCloseTo(2 * wanted[2]!.long, 5)
  })

  it.each([
    [{}, "rows", "give one of rows, input and messages"],
    [{ rows: [], input: "a" }, "rows", "give one of rows, input and messages"],
    [{ rows: [] }, "rows", "is an empty list"],
    [{ rows: [{ text: "a" }, { response: "b" }] }, "rows[1]", "has a response, and neither prompt nor messages"],
    [{ rows: [{ id: "a" }] }, "rows[0]", "needs input_ids, prompt + response, messages or text"],
    [{ input: [1, 900] }, "input", "token id 900 is outside the reward model's vocabulary of 259"],
    [{ input: ["ok", "x".repeat(97)] }, "input[1]", "has 97 tokens, and the reward model's context is 96"],
    [{ input: "" }, "input", "has no tokens"],
    [{ input: "a", attribute_weights: { kind: 1 } }, "attribute_weights", "scores good, long, not kind"],
    [{ input: Array.from({ length: 9 }, () => "a") }, "rows", "at most 8 are taken at once"],
    [{ input: "a", temperature: 1 }, "temperature", "there is no such field"],
    [{ rows: [{ text: 3 }] }, "rows[0].text", "string"],
    [{ rows: [{ txt: "a" }] }, "rows[0].txt", "there is no such field"],
    [{ rows: "a" }, "rows", "must be a list of rows"],
    [{ rows: [["a"]] }, "rows[0]", "must be an object"],
    [{ rows: [{ input_ids: "a" }] }, "rows[0].input_ids", "must be a list of token ids"],
    [{ rows: [{ input_ids: [1, 2.5] }] }, "rows[0]", "has no token id at place 1"],
    [{ input: [1, "a"] }, "input", "has no token id at place 1"],
    [{ input: ["a", 1] }, "input", "must be a text, a list of texts"],
    [{ input: ["a", [1]] }, "input", "must be a text, a list of texts"],
    [{ input: { a: 1 } }, "input", "must be a text, a list of texts"],
    [{ input: "a", attribute_weights: {} }, "attribute_weights", "names no attribute"],
    [{ input: "a", attribute_weights: [1] }, "attribute_weights", "must be an object"],
    [{ input: "a", attribute_weights: { good: "1" } }, "attribute_weights.good", "must be a number"]
  ])("refuses %j by its field", async (body, param, reason) => {
    const { error, status } = await post("/v1/rewards", body)
    expect([status, error.param]).toEqual([400, param])
    expect(error.message).toContain(reason)
  })

  it("knows its model alone", async () => {
    expect((await post("/v1/rewards", { model: "other", input: "a" })).status).toBe(404)
    const models = (await (await fetch(`${url}/v1/models`)).json()) as { readonly data: ReadonlyArray<unknown> }
    expect(models.data[0]).toMatchObject({ id: "tiny-rm", max_model_len: 96, attributes: ["good", "long"] })
  })

  it("is named to clients that ask for texts", async () => {
    for (const path of ["/v1/completions", "/v1/chat/completions", "/v1/responses"]) {
      const { error, status } = await post(path, { prompt: "a" })
      expect([status, error.message]).toEqual([404, expect.stringContaining("ask /v1/rewards")])
    }
  })

  it("answers 64 clients at once what each would get alone, and keeps nothing", async () => {
    const texts = Array.from({ length: 64 }, (_, i) => `client ${i} ${"z".repeat(i % 17)}`)
    const wanted = await expected(...texts.map((text) => tokenizer.encode(text)))
    const ask = () => Promise.all(texts.map((text) => post("/v1/rewards", { input: text })))
    const before = (await ask(), tf.memory().numTensors)
    const answers = await ask()
    answers.forEach(({ results }, i) => expect(results[0]!.reward).toBeCloseTo(wanted[i]!.reward, 5))
    expect(tf.memory().numTensors).toBe(before)
    const page = await (await fetch(`${url}/metrics`)).text()
    expect(page).toContain("plumbline_scorer_rows_waiting 0\n")
    expect(page).toMatch(/plumbline_scored_tokens_total [1-9]/)
  })

  it("is what a remote Reward asks: the same judgements as the model's own", async () => {
    const groups: ReadonlyArray<RewardGroup> = ["4", "22"].map((right, i) => ({
      row: `r:${i}`,
      prompt: { ids: tokenizer.encode("2+2="), text: "2+2=" },
      responses: [right, "five"].map((text) => ({ ids: tokenizer.encode(`${text}<|im_end|>`), text }))
    }))
    const own = await Effect.runPromise(modelReward(model, { attributeWeights: { good: 1, long: -0.5 } }).judge(groups))
    const parts = [
      { name: "good", weight: 1 },
      { name: "long", weight: -0.5 }
    ]
    const far = await Effect.runPromise(
      Effect.flatMap(remoteReward({ url: `${url}/v1/rewards`, parts }), ({ judge }) => judge(groups)).pipe(
        Effect.provide(FetchHttpClient.layer)
      )
    )
    far.forEach(({ responses }, g) =>
      responses.forEach(({ parts: found, reward }, r) => {
        expect(reward).toBeCloseTo(own[g]!.responses[r]!.reward!, 5)
        expect(found.map(({ name, weight }) => [name, weight])).toEqual([
          ["good", 1],
          ["long", -0.5]
        ])
      })
    )
  })
})

describe("/v1/values", () => {
  it("gives a value to each token, the last of which is the row's reward", async () => {
    const { results } = await post("/v1/values", { input: ["abcd", "x"] })
    const rewards = (await post("/v1/rewards", { input: ["abcd", "x"] })).results
    expect(results.map(({ values }) => values.length)).toEqual([4, 1])
    results.forEach(({ values }, i) => expect(values.at(-1)).toBeCloseTo(rewards[i]!.reward, 5))
    const prefix = (await post("/v1/values", { input: "abc" })).results[0]!.values
    prefix.forEach((value, t) => expect(results[0]!.values[t]).toBeCloseTo(value, 5))
  })
})
