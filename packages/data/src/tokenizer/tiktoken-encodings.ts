import { createRequire } from "node:module"
import { Tiktoken } from "@dqbd/tiktoken/lite"
import { byteLevelToken } from "./byte-level.ts"
import { byteLevelDefinition, fromDefinition, type SpecialTokenOptions } from "./byte-tokenizer.ts"
import { type Engine, libraryEngine } from "./engines.ts"
import { sparingLongWords } from "./long-words.ts"
import { mergesOfRanks } from "./merge-ranks.ts"
import type { TokenizerShape } from "./tokenizer.ts"

export const TIKTOKEN_ENCODINGS = ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"] as const
export type TiktokenEncoding = (typeof TIKTOKEN_ENCODINGS)[number]

/** One of the vocabularies that ship with tiktoken. Its own special tokens come first, EOS is <|endoftext|> unless named. */
export const tiktokenTokenizer = (
  encoding: TiktokenEncoding,
  options: Partial<SpecialTokenOptions> = {}
): TokenizerShape => {
  const shipped = createRequire(import.meta.url)(`@dqbd/tiktoken/encoders/${encoding}.json`) as ShippedEncoding
  const tokens = rankedTokens(shipped.bpe_ranks)
  const own = Object.entries(shipped.special_tokens)
  const ids = [...tokens.map(({ rank }) => rank), ...own.map(([, id]) => id)]
  const next = ids.reduce((largest, id) => Math.max(largest, id), 0) + 1
  const added = (options.specials ?? []).filter((content) => !(content in shipped.special_tokens))
  const specials = [...own, ...added.map((content, i) => [content, next + i] as const)]
  const definition = (withMerges: boolean) =>
    byteLevelDefinition({
      vocab: tokens.map(({ bytes, rank }) => [byteLevelToken(bytes), rank] as const),
      merges: withMerges ? mergesOfRanks(tokens.map(({ bytes }) => bytes)) : [],
      specials,
      pattern: shipped.pat_str,
      // tiktoken takes a word that is a token whole
      ignoreMerges: true
    })
  const bpe = new Tiktoken(shipped.bpe_ranks, {}, shipped.pat_str)
  let library: Engine | undefined
  const encode = sparingLongWords(
    (text) => bpe.encode_ordinary(text),
    shipped.pat_str,
    (text, first) => (library ??= libraryEngine(definition(true))).encode(text, first)
  )
  return fromDefinition(encoding, definition, {
    eos: "<|endoftext|>",
    ...options,
    specials: specials.map(([content]) => content),
    engine: { name: "tiktoken", encode }
  })
}

interface ShippedEncoding {
  readonly pat_str: string
  readonly special_tokens: Readonly<Record<string, number>>
  /** Lines "! first-rank base64 base64 …". */
  readonly bpe_ranks: string
}

const rankedTokens = (ranks: string): ReadonlyArray<{ readonly bytes: Uint8Array; readonly rank: number }> =>
  ranks.split("\n").flatMap((line) => {
    const [, first, ...encoded] = line.split(" ")
    return encoded.map((base64, i) => ({ bytes: Buffer.from(base64, "base64"), rank: Number(first) + i }))
  })
