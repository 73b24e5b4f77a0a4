import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "./byte-tokenizer.ts"
import { checkVocabulary } from "./check-vocabulary.ts"
import { loadTokenizer } from "./load-tokenizer.ts"
import { tokenizerFiles } from "./tokenizer.ts"

let folder = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "plumbline-load-"))
  const files = tokenizerFiles(byteTokenizer({ specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE }))
  for (const [name, text] of Object.entries(files)) write(name, text)
})
afterEach(() => rmSync(folder, { recursive: true }))

const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
const load = () => Effect.runPromise(loadTokenizer(folder))
const failure = () => Effect.runPromise(Effect.flip(loadTokenizer(folder)))

describe("loadTokenizer", () => {
  it("is a typed error without tokenizer.json, or with one that is broken", async () => {
    rmSync(join(folder, "tokenizer.json"))
    expect(await failure()).toMatchObject({ _tag: "FileMissing", file: join(folder, "tokenizer.json") })
    write("tokenizer.json", "{")
    expect(await failure()).toMatchObject({ _tag: "TokenizerInvalid", reason: expect.stringMatching(/^not JSON: /) })
    write("tokenizer.json", "version https://git-lfs.github.com/spec/v1\n")
    expect(await failure()).toMatchObject({
      _tag: "TokenizerInvalid",
      reason: "this is the pointer that Git LFS left in place of the file: fetch it with `git lfs pull`"
    })
    write("tokenizer.json", "{}")
    expect(await failure()).toMatchObject({ _tag: "TokenizerInvalid", reason: "has no model.vocab" })
  })

  it("names a component it does not know", async () => {
    const definition = JSON.parse(tokenizerFiles(await load())["tokenizer.json"]!) as object
    write("tokenizer.json", JSON.stringify({ ...definition, pre_tokenizer: { type: "Chopper" } }))
    expect((await failure()).message).toContain("pre-tokenizer Chopper is not supported")
    write("tokenizer.json", JSON.stringify({ ...definition, decoder: { type: "Gluer" } }))
    expect((await failure()).message).toContain("decoder Gluer is not supported")
    write("tokenizer.json", JSON.stringify({ ...definition, post_processor: { type: "Wrapper" } }))
    expect((await failure()).message).toContain("post-processor Wrapper is not supported")
  })

  it("takes the template from tokenizer_config.json where there is no file, and the file where there is", async () => {
    write("tokenizer_config.json", JSON.stringify({ eos_token: "<|im_end|>", chat_template: "from config" }))
    expect((await load()).chatTemplate).toBe(CHATML_TEMPLATE)
    rmSync(join(folder, "chat_template.jinja"))
    expect((await load()).chatTemplate).toBe("from config")
    const named = [
      { name: "tool_use", template: "tools" },
      { name: "default", template: "default one" }
    ]
    write("tokenizer_config.json", JSON.stringify({ chat_template: named }))
    expect((await load()).chatTemplate).toBe("default one")
  })

  it("finds EOS in generation_config.json or config.json where no token is named", async () => {
    write("tokenizer_config.json", "{}")
    expect(await load()).toMatchObject({ eosId: undefined, padId: 0, stopIds: [] })
    write("config.json", '{"eos_token_id": 257}')
    expect(await load()).toMatchObject({ eosId: 257, padId: 257, stopIds: [257] })
    write("generation_config.json", '{"eos_token_id": [258, 256]}')
    expect(await load()).toMatchObject({ eosId: 258, stopIds: [258, 256] })
    write("tokenizer_config.json", '{"eos_token": {"content": "<|im_start|>"}, "pad_token": "<|pad|>"}')
    expect(await load()).toMatchObject({ eosId: 257, padId: 256, stopIds: [257, 258, 256] })
  })

  it.each(["generation_config.json", "config.json"])("names %s where its EOS is no token id", async (name) => {
    for (const wrong of ['"</s>"', "true", "3.5", "[3, null]", "[[3]]", '{"id": 3}']) {
      write(name, `{"eos_token_id": ${wrong}}`)
      const reason = "eos_token_id must be a token id, a list of them or null"
      expect(await failure()).toMatchObject({ _tag: "TokenizerInvalid", file: join(folder, name), reason })
    }
    write(name, '{"eos_token_id": null}')
    expect(await load()).toMatchObject({ stopIds: [258] })
  })

  it("takes no EOS that is no token: transformers writes one for each family, whatever the vocabulary", async () => {
    write("tokenizer_config.json", "{}")
    write("config.json", '{"eos_token_id": [-1, 32000]}')
    expect(await load()).toMatchObject({ eosId: undefined, padId: 0, stopIds: [] })
    write("config.json", '{"eos_token_id": [259, 0, 258]}')
    expect(await load()).toMatchObject({ eosId: 0, stopIds: [0, 258] })
  })

  it("gives special tokens that the vocabulary lacks the next ids, as transformers does", async () => {
    write("tokenizer_config.json", '{"pad_token": "[PAD]", "additional_special_tokens": ["<a>"]}')
    const tokenizer = await load()
    expect(tokenizer).toMatchObject({ padId: 259, vocabSize: 261 })
    expect([...tokenizer.encode("<a>")]).toEqual([260])
  })

  it("gives special tokens that the model knows as text their own ids", async () => {
    write("tokenizer_config.json", '{"eos_token": "a"}')
    const tokenizer = await load()
    expect(tokenizer).toMatchObject({ eosId: 0x61, vocabSize: 259 })
    expect(tokenizer.decode([0x62, 0x61], { skipSpecialTokens: true })).toBe("b")
  })

  it("adds transformers 4's added_tokens_decoder, special only where it says so", async () => {
    const added = { "259": { content: "<x>", special: false }, "260": { content: "<y>", special: true } }
    write("tokenizer_config.json", JSON.stringify({ added_tokens_decoder: added }))
    const tokenizer = await load()
    expect([...tokenizer.encode("<y><x>")]).toEqual([260, 259])
    expect(tokenizer.decode([260, 259], { skipSpecialTokens: true })).toBe("<x>")
  })
})

describe("checkVocabulary", () => {
  it("accepts rows to spare and refuses ids without a row", async () => {
    const tokenizer = await load()
    await Effect.runPromise(checkVocabulary(tokenizer, 259))
    await Effect.runPromise(checkVocabulary(tokenizer, 512))
    const error = await Effect.runPromise(Effect.flip(checkVocabulary(tokenizer, 258)))
    expect(error).toMatchObject({ _tag: "VocabularyMismatch", tokenizerSize: 259, modelSize: 258 })
    expect(error.message).toContain("ids up to 258, the model's vocabulary ends at 257")
  })
})
