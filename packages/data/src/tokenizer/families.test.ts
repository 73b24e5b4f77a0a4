import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import type { TokenizerDefinition } from "./definition.ts"
import { loadTokenizer } from "./load-tokenizer.ts"
import type { TokenizerShape } from "./tokenizer.ts"

/** Small tokenizers trained with the Rust library, and what transformers gave with them; `madeWith` has the versions. */
interface Fixture {
  readonly definition: TokenizerDefinition
  readonly config: Readonly<Record<string, unknown>>
  readonly cases: ReadonlyArray<{
    readonly text: string
    readonly ids: ReadonlyArray<number>
    readonly bare: ReadonlyArray<number>
    readonly decoded: string
    readonly skipped: string
  }>
  /** Random ids, mostly broken UTF-8. */
  readonly randomIds: ReadonlyArray<{ readonly ids: ReadonlyArray<number>; readonly decoded: string }>
}

const FIXTURES = join(import.meta.dirname, "fixtures")

const open = async ({ definition, config }: Fixture): Promise<TokenizerShape> => {
  const folder = mkdtempSync(join(tmpdir(), "plumbline-tokenizer-"))
  try {
    writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(definition))
    writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(config))
    return await Effect.runPromise(loadTokenizer(folder))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const ENGINES: Readonly<Record<string, string>> = {
  "digits-punctuation": "huggingface",
  "llama3-template-bos": "tiktoken",
  "metaspace-first-byte-fallback": "huggingface",
  "qwen2-nfc-added-tokens": "tiktoken",
  "roberta-prefix-space": "tiktoken",
  "t5-unigram": "huggingface"
}

it("every fixture is named here", () => {
  expect(readdirSync(FIXTURES).toSorted()).toEqual(Object.keys(ENGINES).map((name) => `${name}.json`))
})

describe.each(Object.entries(ENGINES))("%s", (name, engine) => {
  const fixture = JSON.parse(readFileSync(join(FIXTURES, `${name}.json`), "utf8")) as Fixture

  it(`encodes as transformers does, on ${engine}`, async () => {
    const tokenizer = await open(fixture)
    expect(tokenizer.name.startsWith(`${engine}: `)).toBe(true)
    for (const { text, ids, bare } of fixture.cases) {
      expect([text, ...tokenizer.encode(text)]).toEqual([text, ...ids])
      expect([text, ...tokenizer.encode(text, { addSpecialTokens: false })]).toEqual([text, ...bare])
    }
  })

  it("decodes as transformers does", async () => {
    const tokenizer = await open(fixture)
    for (const { ids, decoded, skipped } of fixture.cases) {
      expect(tokenizer.decode(ids)).toBe(decoded)
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(skipped)
    }
    for (const { ids, decoded } of fixture.randomIds) expect(tokenizer.decode(ids)).toBe(decoded)
  })

  it("tells the bytes of tokens that are part of a character", async () => {
    const tokenizer = await open(fixture)
    const ids = [...tokenizer.encode("𝄞", { addSpecialTokens: false })]
    const parts = ids.filter((id) => tokenizer.decode([id]) === "\uFFFD")
    const bytes = parts.flatMap((id) => [...tokenizer.tokenBytes(id)!])
    // UTF-8 of U+1D11E; a vocabulary without bytes does not know the character
    expect(bytes).toEqual(name === "t5-unigram" ? [] : [0xf0, 0x9d, 0x84, 0x9e])
  })
})
