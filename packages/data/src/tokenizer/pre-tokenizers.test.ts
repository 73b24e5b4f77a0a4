import { describe, expect, it } from "vitest"
import { byteLevelDefinition } from "./byte-tokenizer.ts"
import { assembleTokenizer } from "./assemble.ts"
import { libraryEngine } from "./engines.ts"
import { preTokenizer } from "./pre-tokenizers.ts"

// what tokenizers 0.23.2 gives for the same component and text
const words = (component: Readonly<Record<string, unknown>> & { readonly type: string }, text: string) =>
  preTokenizer(component)([text], true)

const SPLITS = {
  Removed: ["the", "final", "countdown"],
  Isolated: ["the", "-", "final", "-", "-", "countdown"],
  MergedWithPrevious: ["the-", "final-", "-", "countdown"],
  MergedWithNext: ["the", "-final", "-", "-countdown"],
  Contiguous: ["the", "-", "final", "--", "countdown"]
}
const PUNCTUATION = {
  Removed: ["a", "b", " c"],
  Isolated: ["a", ",", ".", "b", "!", " c"],
  MergedWithPrevious: ["a,", ".", "b!", " c"],
  MergedWithNext: ["a", ",", ".b", "! c"],
  Contiguous: ["a", ",.", "b", "!", " c"]
}
const INVERTED = {
  Removed: ["1", "2", "2"],
  Isolated: ["a", "1", "b", "2", "2", "c"],
  MergedWithPrevious: ["a", "1b", "2", "2c"],
  MergedWithNext: ["a1", "b2", "2", "c"],
  Contiguous: ["a", "1", "b", "22", "c"]
}

describe("pre-tokenizers", () => {
  it.each(Object.keys(SPLITS) as ReadonlyArray<keyof typeof SPLITS>)("split %s", (behavior) => {
    expect(words({ type: "Split", pattern: { String: "-" }, behavior }, "the-final--countdown")).toEqual(
      SPLITS[behavior]
    )
    expect(words({ type: "Punctuation", behavior }, "a,.b! c")).toEqual(PUNCTUATION[behavior])
    const inverted = { type: "Split", pattern: { Regex: "[0-9]" }, behavior, invert: true }
    expect(words(inverted, "a1b22c")).toEqual(INVERTED[behavior])
  })

  it.each([
    [{ type: "Digits", individual_digits: true }, "a12٣½ b", ["a", "1", "2", "٣", "½", " b"]],
    [{ type: "Digits", individual_digits: false }, "a12٣½ b", ["a", "12٣½", " b"]],
    [{ type: "Whitespace" }, "Hé_1 don't  ＠ 日本", ["Hé_1", "don", "'", "t", "＠", "日本"]],
    [{ type: "WhitespaceSplit" }, "a\u00a0b \u3000c", ["a", "b", "c"]],
    [{ type: "BertPreTokenizer" }, "Hi, don't—x  y", ["Hi", ",", "don", "'", "t", "—", "x", "y"]],
    [{ type: "CharDelimiterSplit", delimiter: "-" }, "a--b-", ["a", "b"]],
    [{ type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true }, "a  b", ["▁a", "▁", "▁b"]],
    [{ type: "Metaspace", replacement: "▁", prepend_scheme: "never", split: true }, "a b", ["a", "▁b"]],
    [{ type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: false }, " a b", ["▁a▁b"]],
    [{ type: "FixedLength", length: 2 }, "ab日😀c", ["ab", "日😀", "c"]]
  ])("%o", (component, text, expected) => {
    expect(words(component, text)).toEqual(expected)
  })
})

describe("models other than byte-level BPE", () => {
  it("of kind Unigram fall back to bytes", () => {
    const bytes = Array.from({ length: 256 }, (_, byte) => {
      const name = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`
      return [name, -5] as const
    })
    const vocab = [["<unk>", 0] as const, ["a", -1] as const, ["▁", -1] as const, ...bytes]
    const definition = {
      ...byteLevelDefinition({ vocab: [], merges: [], specials: [], pattern: undefined }),
      pre_tokenizer: null,
      model: { type: "Unigram", unk_id: 0, vocab, byte_fallback: true }
    }
    expect(Array.from(libraryEngine(definition).encode("a日b", true))).toEqual([1, 233, 154, 168, 101])
  })

  it("of kind WordLevel join by spaces, cleaned up where the configuration says so", () => {
    const definition = {
      ...byteLevelDefinition({ vocab: [], merges: [], specials: [], pattern: undefined }),
      pre_tokenizer: { type: "WhitespaceSplit" },
      decoder: null,
      model: { type: "WordLevel", unk_token: "?", vocab: { hello: 0, ",": 1, do: 2, "n't": 3, "?": 4 } }
    }
    const parts = { source: "words", definition, template: undefined, stopIds: [], files: () => ({}) }
    const plain = assembleTokenizer({ ...parts, config: {} })
    expect([...plain.encode("hello , what do n't")]).toEqual([0, 1, 4, 2, 3])
    expect(plain.decode([0, 1, 2, 3])).toBe("hello , do n't")
    const cleaned = assembleTokenizer({ ...parts, config: { clean_up_tokenization_spaces: true } })
    expect(cleaned.decode([0, 1, 2, 3])).toBe("hello, don't")
  })
})
