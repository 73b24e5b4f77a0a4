import { byteTokenizer, CHATML_SPECIALS } from "@plumbline/data"
import { type CausalLM, loadCausalLM, saveModel } from "@plumbline/models"
import { type AdapterMethod, adaptNew, ia3, lora } from "@plumbline/peft"
import { Generator, responseText, samplingOptions } from "@plumbline/rollout-generation"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Effect } from "effect"
import { dirname, join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type ModelFolder, type Server, startServer, untrainedModel } from "./server.ts"

const tokenizer = byteTokenizer({ specials: CHATML_SPECIALS })
const PROMPT = "several adapters"
const NEW_TOKENS = 24

const adapters: Readonly<Record<string, () => AdapterMethod>> = {
  polite: () => lora({ rank: 4 }),
  curt: () => ia3(),
  decomposed: () => lora({ rank: 2, decomposed: true, targets: ["q_proj", "down_proj"], biases: "all" })
}

/** What a model says at temperature 0, with nobody beside it. */
const said = (model: CausalLM) =>
  Effect.gen(function* () {
    const { generate } = yield* Generator
    const sampling = samplingOptions({ maxNewTokens: NEW_TOKENS, temperature: 0 })
    const [group] = yield* generate([{ promptIds: tokenizer.encode(PROMPT), seed: 0, sampling }])
    return responseText(tokenizer, group!.responses[0]!)
  }).pipe(Effect.provide(Generator.layerModel(model)))

const waves = (shape: Array<number>) => tf.cos(tf.reshape(tf.range(0, tf.util.sizeFromShape(shape)), shape))

/** Saves adapters that change what the model says. @returns what each of them and the model say */
const saveAdapters = (folder: string) =>
  Effect.gen(function* () {
    const base = yield* loadCausalLM(folder, { trainable: false, name: "base" })
    const texts: Record<string, string> = { tiny: yield* said(base) }
    for (const [name, method] of Object.entries(adapters)) {
      const { model } = adaptNew(base, method(), 5)
      for (const variable of model.variables) tf.tidy(() => variable.assign(tf.add(variable, waves(variable.shape))))
      yield* saveModel(model, join(dirname(folder), name))
      texts[name] = yield* said(model)
    }
    return texts
  }).pipe(Effect.provide(ModelRuntime.layerWasm), Effect.runPromise)

let folder: ModelFolder
let texts: Readonly<Record<string, string>>
let server: Server
beforeAll(async () => {
  folder = await untrainedModel()
  texts = await saveAdapters(folder.path)
  const flags = Object.keys(adapters).flatMap((name) => ["--adapter", `${name}=${join(dirname(folder.path), name)}`])
  server = await startServer(folder.path, flags)
})
afterAll(async () => {
  await server.close()
  folder.remove()
})

describe("plumb serve with several adapters", () => {
  it("lists the model and its adapters", async () => {
    const { data } = await server.client().models.list()
    expect(data.map(({ id }) => id)).toEqual(["tiny", "polite", "curt", "decomposed"])
    const curt = await server.client().models.retrieve("curt")
    expect(curt).toMatchObject({ id: "curt", parent: "tiny", policy_version: 0 })
  })

  it("answers at the same time with the adapter that each request names, as each would alone", async () => {
    const names = ["polite", "tiny", "curt", "decomposed", "polite", "tiny"]
    const answers = await Promise.all(
      names.map((model) =>
        server.client().completions.create({ model, prompt: PROMPT, max_tokens: NEW_TOKENS, temperature: 0 })
      )
    )
    expect(new Set(Object.values(texts)).size).toBe(4)
    answers.forEach((answer, i) => {
      expect(answer.model).toBe(names[i])
      expect(answer.choices[0]!.text).toBe(texts[names[i]!])
    })
  })

  it("refuses a name that it does not have", async () => {
    const asked = server.client().completions.create({ model: "rude", prompt: "x", max_tokens: 1 })
    await expect(asked).rejects.toMatchObject({
      status: 404,
      message: expect.stringContaining('this server has "tiny", "polite", "curt", "decomposed"')
    })
  })
})
