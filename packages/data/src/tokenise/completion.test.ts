import { describe, expect, it } from "vitest"
import { ChatTemplateInvalid } from "../errors.ts"
import { philoxStream } from "@plumbline/runtime"
import type { Message } from "../records/records.ts"
import type { TokenizedRow } from "../rows.ts"
import { assembleTokenizer } from "../tokenizer/assemble.ts"
import { byteVocabulary, GPT4_PATTERN } from "../tokenizer/byte-level.ts"
import { byteLevelDefinition, byteTokenizer, CHATML_SPECIALS, CHATML_TEMPLATE } from "../tokenizer/byte-tokenizer.ts"
import type { TokenizerShape } from "../tokenizer/tokenizer.ts"
import { trainByteLevelBpe } from "../tokenizer/train-bpe.ts"
import { testTokenizer } from "../testing/index.ts"
import {
  tokenizeChat,
  tokenizeCompletion,
  tokenizePreference,
  tokenizePrompt,
  tokenizeText,
  withBos
} from "./completion.ts"

const scored = (tokenizer: TokenizerShape, { ids, lossMask }: TokenizedRow): string =>
  tokenizer.decode(ids.filter((_, t) => lossMask[t] === 1))

const [BOS, EOS] = [300, 301]

const special = (token: string) => ({ SpecialToken: { id: token, type_id: 0 } })

/** Bytes, "ab" as one token, and a post-processor that adds `before` and `after`. */
const wrapped = (before: ReadonlyArray<string>, after: ReadonlyArray<string>): TokenizerShape => {
  const ids = {
    "<s>": { id: "<s>", ids: [BOS], tokens: ["<s>"] },
    "</s>": { id: "</s>", ids: [EOS], tokens: ["</s>"] }
  }
  const definition = {
    ...byteLevelDefinition({
      vocab: [...byteVocabulary(0), ["ab", 256]],
      merges: [["a", "b"]],
      specials: [
        ["<s>", BOS],
        ["</s>", EOS]
      ],
      pattern: GPT4_PATTERN
    }),
    post_processor: {
      type: "TemplateProcessing",
      single: [...before.map(special), { Sequence: { id: "A", type_id: 0 } }, ...after.map(special)],
      special_tokens: ids
    }
  }
  const config = { bos_token: "<s>", eos_token: "</s>", pad_token: "</s>" }
  const template =
    "{{ bos_token }}{% for m in messages %}{{ m.role + ':' + m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
  return assembleTokenizer({ source: "wrapped", definition, config, template, stopIds: [], files: () => ({}) })
}

const TOKENIZERS: ReadonlyArray<readonly [string, TokenizerShape]> = [
  ["no specials", wrapped([], [])],
  ["BOS in front", wrapped(["<s>"], [])],
  ["EOS behind", wrapped([], ["</s>"])],
  ["BOS and EOS", wrapped(["<s>"], ["</s>"])]
]

const PIECES = ["a", "b", "ab", " ", "\n", "é", "日", "b a", "1", ""]
const { uniform } = philoxStream(4, "completion")

const randomText = (from: number): string =>
  Array.from({ length: 4 }, (_, i) => PIECES[Math.floor(uniform(from + i) * PIECES.length)]).join("")

describe("tokenizeCompletion", () => {
  it("scores the completion and its EOS, not the prompt", () => {
    const row = tokenizeCompletion(testTokenizer, "Q\n", "A.")
    // bytes by hand; 258 is <|im_end|>
    expect([...row.ids]).toEqual([0x51, 0x0a, 0x41, 0x2e, 258])
    expect([...row.lossMask]).toEqual([0, 0, 1, 1, 1])
  })

  it("never scores a row's first token, which nothing predicts", () => {
    expect([...tokenizeCompletion(testTokenizer, "", "ab").lossMask]).toEqual([0, 1, 1])
    expect([...tokenizeText(testTokenizer, "ab").lossMask]).toEqual([0, 1, 1])
  })

  it("does not repeat an EOS the text already ends with", () => {
    expect([...tokenizeCompletion(testTokenizer, "Q", "A<|im_end|>").ids]).toEqual([0x51, 0x41, 258])
  })

  it("tokenizes the completion alone where a token would straddle the border (bug class 4)", () => {
    const [, tokenizer] = TOKENIZERS[0]!
    expect([...tokenizer.encode("ab")]).toEqual([256])
    expect([...tokenizeCompletion(tokenizer, "a", "b").ids]).toEqual([0x61, 0x62, EOS])
    // with room on both sides the joint tokenization stands
    expect([...tokenizeCompletion(tokenizer, "ab ", "ab").ids]).toEqual([256, 0x20, 256, EOS])
  })

  it.each(TOKENIZERS)("has one BOS at most, in front, and one EOS, at the end: %s (bug class 1)", (_, tokenizer) => {
    const opens = tokenizer.prefixIds.length
    for (const prompt of ["ab", "<s>ab"]) {
      for (const completion of ["cd", "cd</s>"]) {
        const { ids } = tokenizeCompletion(tokenizer, prompt, completion)
        expect([...ids].filter((id) => id === BOS).length).toBe(prompt.startsWith("<s>") ? 1 : opens)
        expect([...ids].indexOf(BOS)).toBeLessThanOrEqual(0)
        expect([...ids].filter((id) => id === EOS)).toEqual([EOS])
        expect(ids.at(-1)).toBe(EOS)
      }
    }
  })

  it.each(TOKENIZERS)("is prompt ++ completion by construction on random text: %s (bug class 4)", (_, tokenizer) => {
    for (let trial = 0; trial < 200; trial++) {
      const [prompt, completion] = [randomText(trial * 8), randomText(trial * 8 + 4)]
      const row = tokenizeCompletion(tokenizer, prompt, completion)
      const promptIds = [...tokenizePrompt(tokenizer, prompt)]
      expect([...row.ids.subarray(0, promptIds.length)]).toEqual(promptIds)
      expect(tokenizer.decode(row.ids.subarray(promptIds.length))).toBe(`${completion}</s>`)
      expect([...row.lossMask]).toEqual([...row.ids].map((_id, t) => (t > 0 && t >= promptIds.length ? 1 : 0)))
    }
  })

  it("renders message lists with the generation prompt and lets the template end them", () => {
    const row = tokenizeCompletion(
      testTokenizer,
      [{ role: "user", content: "q" }],
      [{ role: "assistant", content: "a" }]
    )
    expect(testTokenizer.decode(row.ids)).toBe("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n")
    expect(scored(testTokenizer, row)).toBe("a<|im_end|>\n")
    expect(tokenizeCompletion(testTokenizer, "q", [{ role: "assistant", content: "a" }])).toEqual(row)
  })

  it("does not double the BOS that a template brings (bug class 1)", () => {
    const tokenizer = wrapped(["<s>"], [])
    const chat: ReadonlyArray<Message> = [
      { role: "user", content: "q" },
      { role: "assistant", content: "a" }
    ]
    for (const { ids } of [
      tokenizeCompletion(tokenizer, chat.slice(0, 1), chat.slice(1)),
      tokenizeChat(tokenizer, chat)
    ]) {
      expect([...ids].filter((id) => id === BOS)).toEqual([BOS])
      expect(ids[0]).toBe(BOS)
    }
  })

  it("refuses a template that renders the prompt differently once it is answered", () => {
    const tokenizer = byteTokenizer({
      specials: CHATML_SPECIALS,
      chatTemplate: "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}"
    })
    const run = () =>
      tokenizeCompletion(tokenizer, [{ role: "user", content: "q" }], [{ role: "assistant", content: "a" }])
    expect(run).toThrow(ChatTemplateInvalid)
    expect(run).toThrow("not prefix-preserving")
  })
})

describe("tokenizeText", () => {
  it("scores every token but the first and ends with EOS", () => {
    const row = tokenizeText(wrapped(["<s>"], []), "xab")
    expect([...row.ids]).toEqual([BOS, 0x78, 256, EOS])
    expect([...row.lossMask]).toEqual([0, 1, 1, 1])
  })
})

describe("tokenizeChat", () => {
  it("scores every assistant turn with its end, and nothing else (bug class 3)", () => {
    const row = tokenizeChat(testTokenizer, [
      { role: "system", content: "s" },
      { role: "user", content: "q" },
      { role: "assistant", content: "a" },
      { role: "user", content: "r" },
      { role: "assistant", content: "b" }
    ])
    expect(scored(testTokenizer, row)).toBe("a<|im_end|>b<|im_end|>")
  })

  it("keeps the end of turn scored where the pad token is EOS (bug class 2)", () => {
    const tokenizer = trainByteLevelBpe(["q a"], {
      vocabSize: 260,
      specials: ["<|im_start|>", "<|im_end|>"],
      pad: "<|im_end|>",
      chatTemplate: CHATML_TEMPLATE
    })
    expect(tokenizer.padId).toBe(tokenizer.eosId)
    const row = tokenizeChat(tokenizer, [
      { role: "user", content: "q" },
      { role: "assistant", content: "a" }
    ])
    expect(scored(tokenizer, row)).toBe("a<|im_end|>")
  })
})

describe("tokenizePreference", () => {
  it("shares the prompt's ids and carries the rewards, zero included", () => {
    const pair = tokenizePreference(testTokenizer, { prompt: "Q", chosen: "yes", rejected: "no", chosenReward: 0 })
    expect(testTokenizer.decode(pair.chosen.ids)).toBe("Qyes<|im_end|>")
    expect(testTokenizer.decode(pair.rejected.ids)).toBe("Qno<|im_end|>")
    expect(pair.chosenReward).toBe(0)
    expect("rejectedReward" in pair).toBe(false)
  })
})

describe("withBos", () => {
  it("puts BOS in front of a row once, where the tokenizer has one", () => {
    for (const [, tokenizer] of TOKENIZERS) {
      const row = tokenizeCompletion(tokenizer, "1", "a")
      const opened = withBos(tokenizer, row)
      expect(opened.ids.filter((id) => id === BOS).length).toBe(1)
      expect(opened.ids[0]).toBe(BOS)
      expect(scored(tokenizer, opened)).toBe(scored(tokenizer, row))
      expect(withBos(tokenizer, opened)).toBe(opened)
    }
    const plain = byteTokenizer({ specials: [] })
    const row = tokenizeCompletion(plain, "1", "a")
    expect(plain.bosId).toBeUndefined()
    expect(withBos(plain, row)).toBe(row)
  })

  it("puts it in front of a row with more tokens than a function takes arguments", () => {
    const length = 200_000
    const [, tokenizer] = TOKENIZERS[0]!
    const opened = withBos(tokenizer, { ids: new Int32Array(length), lossMask: new Uint8Array(length).fill(1) })
    expect([opened.ids.length, opened.lossMask.length]).toEqual([length + 1, length + 1])
    expect([...opened.lossMask.subarray(0, 2)]).toEqual([0, 1])
  })
})
