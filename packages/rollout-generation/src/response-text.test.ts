import { expect, it } from "vitest"
import { responseText } from "./response-text.ts"

const TOKENS = ["a", " costs", "s", "<|end|>", " ", "."]
const special = TOKENS.indexOf("<|end|>")
/** Joined, without the space before a full stop. */
const tokenizer = {
  decode: (ids: ArrayLike<number>, { skipSpecialTokens = false } = {}) =>
    Array.from(ids, (id) => (skipSpecialTokens && id === special ? "" : TOKENS[id]))
      .join("")
      .replaceAll(" .", ".")
}
const textOf = (tokens: ReadonlyArray<string>, stop: string) =>
  responseText(tokenizer, {
    responseIds: Int32Array.from(tokens, (token) => TOKENS.indexOf(token)),
    stop: { kind: "string", text: stop }
  })

it.each([
  ["across tokens", ["a", " costs"], "a c", ""],
  ["the first of several in the last token", ["a", " costs"], "s", "a co"],
  ["not an earlier one, which came before there were enough tokens", ["s", "a", "s"], "s", "sa"],
  ["a special token, which has no text", ["s", "a", "<|end|>"], "<|end|>", "sa"],
  ["where the last token changes the text before it", ["a", " ", "."], ".", "a"]
])("is cut before the stop string: %s", (_, tokens, stop, text) => expect(textOf(tokens, stop)).toBe(text))
