import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "./byte-tokenizer.ts"
import { loadTokenizer } from "./load-tokenizer.ts"
import { tiktokenTokenizer } from "./tiktoken-encodings.ts"
import { tokenizerFiles, type TokenizerShape } from "./tokenizer.ts"
import { trainByteLevelBpe } from "./train-bpe.ts"

const folder = mkdtempSync(join(tmpdir(), "plumbline-made-"))
afterAll(() => rmSync(folder, { recursive: true }))

const OPTIONS = { specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE }
const TEXT = "Hello  wörld, 12345\n\t日本語 😀 <|im_end|> don't"

const reload = (tokenizer: TokenizerShape): Promise<TokenizerShape> => {
  for (const [name, text] of Object.entries(tokenizerFiles(tokenizer))) writeFileSync(join(folder, name), text)
  return Effect.runPromise(loadTokenizer(folder))
}

describe("byteTokenizer", () => {
  it("has the bytes as ids, specials after them", () => {
    const tokenizer = byteTokenizer(OPTIONS)
    expect([...tokenizer.encode("é<|im_end|>a")]).toEqual([0xc3, 0xa9, 258, 0x61])
    expect(tokenizer).toMatchObject({ vocabSize: 259, padId: 256, eosId: 258, bosId: undefined, stopIds: [258] })
    expect(tokenizer.decode([0xc3, 0xa9, 258])).toBe("é<|im_end|>")
    expect(tokenizer.decode([0xc3, 258, 0x61], { skipSpecialTokens: true })).toBe("\ufffda")
  })

  it("has its special tokens in the model's vocabulary too, else the Rust library renumbers them", () => {
    const { model } = JSON.parse(byteTokenizer(OPTIONS).files["tokenizer.json"]!) as { model: { vocab: object } }
    expect(model.vocab).toMatchObject({ "<|pad|>": 256, "<|im_start|>": 257, "<|im_end|>": 258 })
  })

  it("refuses a role for a token it does not have", () => {
    expect(() => byteTokenizer({ specials: [], eos: "</s>" })).toThrow("</s> is not among the special tokens")
  })
})

describe("trainByteLevelBpe", () => {
  it("merges the most frequent pair first, of equals the smaller ids", () => {
    // words of GPT-4's pattern: "aaab" ×2, " aab" ×2 and "cd" ×1, which occurs once and so is never merged
    const tokenizer = trainByteLevelBpe(["aaab aab", "aaab aab", "cd"], { vocabSize: 300, specials: ["<e>"] })
    const { model } = JSON.parse(tokenizer.files["tokenizer.json"]!) as { model: { merges: unknown } }
    // a+a 2·2 + 2·1 = 6. Then "aa a b" and "Ġ aa b" give a+b, aa+a, aa+b and Ġ+aa twice each. Ids: characters in code
    // point order, then merges, so a < b < Ġ < aa: a+b, then Ġ+aa, then aa+ab, and Ġaa+b at last
    expect(model.merges).toEqual([
      ["a", "a"],
      ["a", "b"],
      ["Ġ", "aa"],
      ["aa", "ab"],
      ["Ġaa", "b"]
    ])
  })

  it("still merges a pair that became rarer", () => {
    // b+c 7 times, a+b 6; after b+c only three a+b are left, and a+bc three times: equal, the smaller ids first
    const texts = ["abc", "abc", "abc", "ab", "ab", "ab", "bc", "bc", "bc", "bc"]
    const tokenizer = trainByteLevelBpe(texts, { vocabSize: 300, specials: [] })
    const { model } = JSON.parse(tokenizer.files["tokenizer.json"]!) as { model: { merges: unknown } }
    expect(model.merges).toEqual([
      ["b", "c"],
      ["a", "b"],
      ["a", "bc"]
    ])
  })

  it("learns what the Rust library's trainer learns", () => {
    const text =
      "the thing there then thesis that this other mother another brother bother smother father gather rather lather banana bananas ananas cabana aaaa aaaaa aaaaaa"
    const tokenizer = trainByteLevelBpe([text], { vocabSize: 296, specials: [] })
    const { model } = JSON.parse(tokenizer.files["tokenizer.json"]!) as {
      model: { merges: ReadonlyArray<[string, string]> }
    }
    // by BpeTrainer of tokenizers 0.23.2 with min_frequency 2 and the same pattern and alphabet
    const merges = "t h|th e|a a|the r|a n|o ther|a ther|Ġ b|aa aa|an a|Ġ th|Ġ aaaa|an ana|i s|m other|Ġ the|Ġb anana"
    expect(model.merges.map((pair) => pair.join(" ")).join("|")).toBe(merges)
  })

  it("puts special tokens first and cuts them out of text", () => {
    const tokenizer = trainByteLevelBpe(["hello hello"], { ...OPTIONS, vocabSize: 262 })
    expect(tokenizer.encode("<|im_end|>")).toEqual(Int32Array.of(2))
    expect(tokenizer).toMatchObject({ vocabSize: 262, padId: 0, eosId: 2 })
    expect(tokenizer.decode(tokenizer.encode(TEXT))).toBe(TEXT)
  })

  it("stops where no pair occurs twice, and refuses a vocabulary below the bytes", () => {
    expect(trainByteLevelBpe(["ab"], { vocabSize: 1000, specials: [] }).vocabSize).toBe(256)
    expect(() => trainByteLevelBpe(["ab"], { vocabSize: 100, specials: [] })).toThrow(RangeError)
  })
})

describe("tiktokenTokenizer", () => {
  // "hello world" in the docstrings of tiktoken's Encoding.encode (gpt2) and README (cl100k_base)
  it.each([
    ["gpt2", [31373, 995], 50257],
    ["cl100k_base", [15339, 1917], 100277]
  ] as const)("%s is the vocabulary of that name", (encoding, ids, size) => {
    const tokenizer = tiktokenTokenizer(encoding)
    expect([...tokenizer.encode("hello world")]).toEqual(ids)
    expect(tokenizer.vocabSize).toBe(size)
    expect(tokenizer.decode([tokenizer.eosId!])).toBe("<|endoftext|>")
  })

  it("takes more special tokens after its own", () => {
    const tokenizer = tiktokenTokenizer("gpt2", { specials: ["<|im_end|>"], eos: "<|im_end|>" })
    expect(tokenizer).toMatchObject({ eosId: 50257, vocabSize: 50258 })
  })
})

describe("a saved tokenizer", () => {
  it.each([
    ["bytes", () => byteTokenizer(OPTIONS)],
    ["a trained BPE", () => trainByteLevelBpe([TEXT, TEXT], { ...OPTIONS, vocabSize: 290 })],
    ["gpt2", () => tiktokenTokenizer("gpt2", { specials: CHATML_SPECIALS, chatTemplate: CHATML_TEMPLATE })]
  ])("of %s opens as the same one", async (_, make) => {
    const tokenizer = make()
    const opened = await reload(tokenizer)
    expect(opened.encode(TEXT)).toEqual(tokenizer.encode(TEXT))
    expect(opened.decode(opened.encode(TEXT))).toBe(TEXT)
    expect(opened.digest).toBe(tokenizer.digest)
    expect(tokenizerFiles(opened)).toEqual(tokenizerFiles(tokenizer))
    const { vocabSize, bosId, eosId, padId, chatTemplate } = tokenizer
    expect(opened).toMatchObject({ vocabSize, bosId, eosId, padId, chatTemplate })
  })
})
