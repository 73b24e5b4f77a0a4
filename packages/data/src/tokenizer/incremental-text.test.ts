import { Effect } from "effect"
import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { byteTokenizer, CHATML_SPECIALS } from "./byte-tokenizer.ts"
import { type IncrementalOptions, incrementalText } from "./incremental-text.ts"
import { loadTokenizer } from "./load-tokenizer.ts"
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

const pieces = (tokenizer: Pick<TokenizerShape, "decode">, ids: Iterable<number>, options: IncrementalOptions = {}) => {
  const text = incrementalText(tokenizer, options)
  return [...Array.from(ids, text.push), text.flush()]
}

describe("incrementalText", () => {
  it("tells a character at its last byte", () => {
    // é is 0xC3 0xA9, 🙂 four bytes
    expect(pieces(bytes, bytes.encode("aé🙂b"))).toEqual(["a", "", "é", "", "", "", "🙂", "b", ""])
  })

  it("tells what comes before an unfinished character in one token", () => {
    const tokens = ["ab\u00e2", "\u0082", "\u00acc"].map((token) => Buffer.from(token, "latin1"))
    const tokenizer = {
      decode: (ids: ArrayLike<number>) => Buffer.concat(Array.from(ids, (id) => tokens[id]!)).toString("utf8")
    }
    expect(pieces(tokenizer, [0, 1, 2])).toEqual(["ab", "", "€c", ""])
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

  it("waits, where it is to be settled, until no broken byte can undo the bytes before it", async () => {
    // <0xNN> tokens, then two words; the Rust library makes one U+FFFD of every byte of a run that is no UTF-8
    const fallback = await byteFallback()
    const ids = (text: string) => Array.from(text.split(" "), (token) => fallback.ids[token]!)
    const told = (tokens: string) => pieces(fallback.tokenizer, ids(tokens), { settled: true })
    expect(told("a <0x41> <0x42> b <0x0A>")).toEqual(["a", "", "", "ABb", "", "\n"])
    expect(told("<0x41> <0xFF> b")).toEqual(["", "", "\uFFFD\uFFFDb", ""])
    expect(told("<0xE2> <0x82> <0xAC> a")).toEqual(["", "", "", "€a", ""])
    for (const text of ["<0x41> <0xFF>", "a <0x41> b <0xC3> <0xC3> <0xA9>"]) {
      expect(told(text).join("")).toBe(fallback.tokenizer.decode(ids(text)))
    }
    // bytes of a byte-level vocabulary undo nothing
    expect(pieces(bytes, bytes.encode("aé"), { settled: true })).toEqual(["a", "", "é", ""])
  })
})

/** A metaspace BPE with byte fallback, as Llama 2's. */
const byteFallback = async () => {
  const tokens = [
    ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`),
    "a",
    "b"
  ]
  const ids = Object.fromEntries(tokens.map((token, id) => [token, id]))
  const decoder = { type: "Sequence", decoders: [{ type: "ByteFallback" }, { type: "Fuse" }] }
  const model = { type: "BPE", vocab: ids, merges: [], byte_fallback: true, fuse_unk: true, unk_token: null }
  const folder = mkdtempSync(join(tmpdir(), "plumbline-fallback-"))
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify({ version: "1.0", added_tokens: [], decoder, model }))
  return { ids, tokenizer: await Effect.runPromise(loadTokenizer(folder)) }
}
