import { describe, expect, it } from "vitest"
import { addedTokenSplitter } from "./added-tokens.ts"
import { surroundingsOf } from "./post-processor.ts"

const parts = (tokens: Parameters<typeof addedTokenSplitter>[0], text: string) =>
  addedTokenSplitter(tokens)(text).map(({ text: part, id, start }) => [part, id, start])

describe("addedTokenSplitter", () => {
  it("takes the leftmost match, the longest of those", () => {
    const tokens = [
      { id: 0, content: "<a" },
      { id: 1, content: "<a>" },
      { id: 2, content: "a>b" }
    ]
    expect(parts(tokens, "x<a>b<a")).toEqual([
      ["x", undefined, 0],
      ["<a>", 1, 1],
      ["b", undefined, 4],
      ["<a", 0, 5]
    ])
  })

  it("takes whitespace along where the token says so, but none that is taken already", () => {
    const tokens = [
      { id: 0, content: "[L]", lstrip: true },
      { id: 1, content: "[R]", rstrip: true }
    ]
    expect(parts(tokens, "a  [R]  [L]\u3000b")).toEqual([
      ["a  ", undefined, 0],
      ["[R]  ", 1, 3],
      ["[L]", 0, 8],
      ["\u3000b", undefined, 11]
    ])
  })

  it("leaves a single word alone inside another", () => {
    const tokens = [{ id: 0, content: "cat", single_word: true }]
    expect(parts(tokens, "cats cat écat cat.").filter(([, id]) => id === 0)).toEqual([
      ["cat", 0, 5],
      ["cat", 0, 14]
    ])
  })
})

describe("surroundingsOf", () => {
  it("lets a later processor of a sequence wrap the earlier ones", () => {
    const template = (single: ReadonlyArray<string>, ids: Readonly<Record<string, number>>) => ({
      type: "TemplateProcessing",
      single: single.map((id) => (id === "A" ? { Sequence: { id } } : { SpecialToken: { id } })),
      special_tokens: Object.fromEntries(Object.entries(ids).map(([token, id]) => [token, { ids: [id] }]))
    })
    const inner = template(["<s>", "A", "</s>"], { "<s>": 1, "</s>": 2 })
    const outer = template(["<cls>", "A", "<sep>"], { "<cls>": 3, "<sep>": 4 })
    const processors = [{ type: "ByteLevel" }, inner, outer]
    expect(surroundingsOf({ type: "Sequence", processors })).toEqual({ prefix: [3, 1], suffix: [2, 4] })
  })
})
