import { philoxStream } from "@plumbline/runtime"
import { describe, expect, it } from "vitest"
import { BYTE_CHARACTERS, byteVocabulary, GPT2_PATTERN, GPT4_PATTERN } from "./byte-level.ts"
import { byteLevelDefinition } from "./byte-tokenizer.ts"
import type { TokenizerDefinition } from "./definition.ts"
import { engineOf, libraryEngine, tiktokenEngine } from "./engines.ts"
import { rankedVocabulary } from "./merge-ranks.ts"
import { trainByteLevelBpe } from "./train-bpe.ts"

const CORPUS = [
  "the cat sat on the mat; the cat can't sit there, they'll say",
  "How many clips did Natalia sell altogether? 48/2 = 24, 48+24 = 72",
  "naïve café “quotes” — 日本語のテキスト и русский текст"
]

const PIECES =
  "the cat|sat on|Natalia|can't|WE'LL|12|3456|٣|½|é|e\u0301|日本語|русский|😀|👩‍👩‍👧| |  |\t|\n|\r\n|\u00a0|\u0085|\ufeff|...|_|ſ|'ſ".split(
    "|"
  )

const randomText = (uniform: (index: number) => number, from: number): string =>
  Array.from({ length: 1 + Math.floor(uniform(from) * 12) }, (_, i) => {
    const pick = uniform(from + 2 * i + 1)
    return pick < 0.8
      ? PIECES[Math.floor((pick / 0.8) * PIECES.length)]!
      : String.fromCodePoint(32 + Math.floor(uniform(from + 2 * i + 2) * 0x3000))
  }).join("")

/** Merges of a definition by hand, tokens in id order after the bytes. */
const withMerges = (merges: ReadonlyArray<readonly [string, string]>, ignoreMerges = false): TokenizerDefinition => {
  const merged = [...new Set(merges.map(([left, right]) => left + right))]
  const vocab = [...byteVocabulary(0), ...merged.map((token, i) => [token, 256 + i] as const)]
  return byteLevelDefinition({ vocab, merges, specials: [], pattern: GPT4_PATTERN, ignoreMerges })
}

const convertible = (definition: TokenizerDefinition) => rankedVocabulary(definition.model, new Set())

describe("tiktoken and the Hugging Face library", () => {
  it.each([GPT4_PATTERN, GPT2_PATTERN])("give identical ids on random text, pattern %s", (pattern) => {
    const trained = trainByteLevelBpe(CORPUS, { vocabSize: 420, specials: [] })
    const definition = JSON.parse(trained.files["tokenizer.json"]!) as TokenizerDefinition
    const { vocab, merges } = definition.model as {
      readonly vocab: Readonly<Record<string, number>>
      readonly merges: ReadonlyArray<readonly [string, string]>
    }
    const rebuilt = byteLevelDefinition({ vocab: Object.entries(vocab), merges, specials: [], pattern })
    const [fast, slow] = [tiktokenEngine(rebuilt)!, libraryEngine(rebuilt)]
    const { uniform } = philoxStream(3, "engines")
    for (let trial = 0; trial < 600; trial++) {
      const text = randomText(uniform, trial * 100)
      expect([text, ...Array.from(fast.encode(text, true))]).toEqual([text, ...Array.from(slow.encode(text, true))])
    }
  })

  it.each([
    ["letters", (letter: () => string) => Array.from({ length: 3000 }, letter).join("")],
    ["spaces", () => `x${" ".repeat(3000)}x`],
    ["more than tiktoken can take", (letter: () => string) => letter().repeat(1_200_000)]
  ])("agree on words that are very long: %s", (_, make) => {
    const trained = trainByteLevelBpe(CORPUS, { vocabSize: 420, specials: [] })
    const definition = JSON.parse(trained.files["tokenizer.json"]!) as TokenizerDefinition
    const { uniform } = philoxStream(3, "long words")
    let next = 0
    const text = make(() => "acehst"[Math.floor(uniform(next++) * 6)]!)
    const [fast, slow] = [tiktokenEngine(definition)!, libraryEngine(definition)]
    expect(Buffer.from(Int32Array.from(fast.encode(text, true)).buffer)).toEqual(
      Buffer.from(Int32Array.from(slow.encode(text, true)).buffer)
    )
  })

  it("agree on text that the pattern leaves out, which stays a word", () => {
    const definition = withMerges([["a", "b"]])
    const lettersOnly = {
      ...definition,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: "[a-z]+" }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, use_regex: false }
        ]
      }
    }
    const engine = tiktokenEngine(lettersOnly)!
    expect(engine.name).toBe("tiktoken")
    // 256 is "ab"; "1", " " and "2" are their bytes
    expect(Array.from(engine.encode("ab1 2ab", true))).toEqual([256, 0x31, 0x20, 0x32, 256])
    expect(Array.from(libraryEngine(lettersOnly).encode("ab1 2ab", true))).toEqual([256, 0x31, 0x20, 0x32, 256])
  })
})

describe("rankedVocabulary", () => {
  it("orders tokens by the merge that makes them", () => {
    const ranked = convertible(
      withMerges([
        ["b", "c"],
        ["a", "b"],
        ["a", "bc"]
      ])
    )!
    expect(ranked.tokens.slice(256)).toEqual(["bc", "ab", "abc"])
    expect(Array.from(ranked.ids).slice(256)).toEqual([256, 257, 258])
  })

  it("takes a list that names several ways to make a token, as Llama 3's does", () => {
    // of a+bc and ab+c only the first is ever used, because b+c merges before a+b
    const ranked = convertible(
      withMerges([
        ["b", "c"],
        ["a", "b"],
        ["a", "bc"],
        ["ab", "c"]
      ])
    )
    expect(ranked?.tokens.slice(256)).toEqual(["bc", "ab", "abc"])
  })

  it("refuses a list whose tokens tiktoken would make where the list does not", () => {
    // "abc" from a+bc only, but a+b merges first: the list never makes it, while ab+c would by bytes
    const definition = withMerges([
      ["a", "b"],
      ["b", "c"],
      ["a", "bc"]
    ])
    expect(convertible(definition)?.tokens.slice(256)).toEqual(["ab", "bc"])
    expect(Array.from(engineOf(definition).encode("abc", true))).toEqual([256, 0x63])
    // "cd" listed after, "bcd" by b+cd: bytes b,c,d merge b+c first, then nothing, so "bcd" is out of reach as well
    const blocked = withMerges([
      ["b", "c"],
      ["c", "d"],
      ["b", "cd"]
    ])
    expect(Array.from(engineOf(blocked).encode("bcd", true))).toEqual([256, 0x64])
  })

  it("merges the leftmost of equal pairs first", () => {
    // "aaa" becomes aa+a, so a+aa is never used and "aaa" never made
    const definition = withMerges([
      ["a", "a"],
      ["a", "aa"]
    ])
    expect(convertible(definition)?.tokens.slice(256)).toEqual(["aa"])
    expect(Array.from(engineOf(definition).encode("aaa", true))).toEqual([256, 0x61])
    expect(Array.from(libraryEngine(definition).encode("aaa", true))).toEqual([256, 0x61])
  })

  it("refuses a merge listed before what makes its parts", () => {
    // "abc" is merged from ab+c as soon as a+b is, although it has the lower rank
    const definition = withMerges([
      ["ab", "c"],
      ["a", "b"]
    ])
    expect(convertible(definition)).toBeUndefined()
    expect(Array.from(engineOf(definition).encode("abc", true))).toEqual([256])
  })

  it("leaves words that only ignore_merges reaches to the library", () => {
    const definition = withMerges(
      [
        ["a", "b"],
        ["b", "c"],
        ["a", "bc"]
      ],
      true
    )
    expect(convertible(definition)).toBeUndefined()
    const engine = engineOf(definition)
    expect(engine.name).toBe("huggingface")
    expect(Array.from(engine.encode("abc", true))).toEqual([258])
    expect(Array.from(engine.encode("abcabc", true))).toEqual([256, 0x63, 256, 0x63])
  })

  it("needs all 256 bytes and a plain byte-level BPE", () => {
    const { model } = withMerges([["a", "b"]])
    const vocab = Object.fromEntries(Object.entries(model.vocab).filter(([token]) => token !== BYTE_CHARACTERS[0]))
    expect(rankedVocabulary({ ...model, vocab }, new Set())).toBeUndefined()
    expect(rankedVocabulary({ ...model, byte_fallback: true }, new Set())).toBeUndefined()
    expect(rankedVocabulary({ ...model, end_of_word_suffix: "</w>" }, new Set())).toBeUndefined()
  })
})
