import { describe, expect, it } from "vitest"
import { idsOf, tokenizer } from "../testing/serve-scripted.ts"
import { heldText } from "./held-text.ts"

/** What is handed out after each byte of `text`, and at the end, where the response is `whole`. */
const told = (text: string, stops: ReadonlyArray<string>, whole = text) => {
  const held = heldText(tokenizer, stops, true)
  return [...idsOf(text).map(held.push), held.finish(whole)]
}

describe("heldText", () => {
  it("hands out whole characters only", () => {
    // é has 2 bytes, € 3, 🙂 4
    expect(told("aé€🙂", [])).toEqual(["a", "", "é", "", "", "€", "", "", "", "🙂", ""])
  })

  it("keeps back what may become a stop string, and lets it go when it does not", () => {
    expect(told("abxabc", ["abc"], "abx")).toEqual(["", "", "abx", "", "", "", ""])
    expect(told("aabd", ["aabc", "bd"], "aa")).toEqual(["", "", "", "aa", ""])
    expect(told("ab", ["abc"])).toEqual(["", "", "ab"])
  })

  it("keeps back a stop string until the next token says that it did not end the response", () => {
    expect(told("a.b.", ["."], "a.b")).toEqual(["a", "", ".b", "", ""])
  })

  it("never hands out text behind a stop string that ended inside a token", () => {
    const words = {
      ...tokenizer,
      decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => ["one\ntwo", "x"][id]).join("")
    }
    const held = heldText(words, ["\n"], true)
    expect([held.push(1), held.push(0), held.finish("xone")]).toEqual(["x", "one", ""])
  })

  it("leaves out special tokens", () => {
    const held = heldText(tokenizer, [], true)
    expect([...[97, 258, 98].map(held.push), held.finish("ab")]).toEqual(["a", "", "b", ""])
    const shown = heldText(tokenizer, [], false)
    expect([97, 258].map(shown.push)).toEqual(["a", "<|im_end|>"])
  })
})
