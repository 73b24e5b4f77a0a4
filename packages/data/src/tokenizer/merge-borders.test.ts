import { describe, expect, it } from "vitest"
import { byteLevelDefinition } from "./byte-tokenizer.ts"
import { mergeBorders } from "./merge-borders.ts"

const merges = [
  ["a", "b"],
  ["ab", "😀"],
  ["▁", "a"]
] as const
const { model } = byteLevelDefinition({ vocab: [], merges, specials: [], pattern: undefined })

describe("mergeBorders", () => {
  it("cuts between characters that no merge joins", () => {
    // joined: ab, b😀, ▁a
    expect(mergeBorders(model)("▁ab😀▁abab😀c")).toEqual(["▁ab😀", "▁ab", "ab😀", "c"])
    expect(mergeBorders(model)("a")).toEqual(["a"])
  })

  it("keeps words whole where the whole word decides", () => {
    expect(mergeBorders({ ...model, ignore_merges: true })("abc")).toEqual(["abc"])
    expect(mergeBorders({ ...model, end_of_word_suffix: "</w>" })("abc")).toEqual(["abc"])
    expect(mergeBorders({ type: "Unigram", vocab: [] })("abc")).toEqual(["abc"])
  })
})
