import { describe, expect, it } from "vitest"
import { byteTokenizer, CHATML_SPECIALS } from "./byte-tokenizer.ts"
import { incrementalText } from "./incremental-text.ts"
import type { TokenizerShape } from "./tokenizer.ts"

const bytes = byteTokenizer({ specials: CHATML_SPECIALS })

/** A metaspace vocabulary: its decoder drops the space of the first token only. */
const words = {
  decode: (ids: ArrayLike<number>) =>
    Array.from(ids, (id) => ["▁one", "▁two", "s"][id])
      .join("")
      .replaceAll("▁", " ")
      .slice(1)
}

const pieces = (tokenizer: Pick<TokenizerShape, "decode">, ids: Iterable<number>) => {
  const text = incrementalText(tokenizer)
  return [...Array.from(ids, text.push), text.flush()]
}

describe("incrementalText", () => {
  it("tells a character at its last byte", () => {
    // é is 0xC3 0xA9, 🙂 four bytes
    expect(pieces(bytes, bytes.encode("aé🙂b"))).toEqual(["a", "", "é", "", "", "", "🙂", "b", ""])
  })

  it("keeps the spaces between words", () => {
    expect(pieces(words, [0, 1, 2, 1])).toEqual(["one", " two", "s", " two", ""])
  })

  it("joins to what the whole decodes to, broken bytes included", () => {
    const ids = [0xe2, 0x82, 0x61, 0xff, 0xf0, 0x9f, 257, 0x62, 0xc3]
    const told = pieces(bytes, ids)
    expect(told.join("")).toBe(bytes.decode(ids))
    expect(told.at(-1)).toBe("\uFFFD")
  })
})
