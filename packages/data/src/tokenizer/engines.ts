import { Tiktoken } from "@dqbd/tiktoken/lite"
import { GPT2_PATTERN, tokenBytes, utf8 } from "./byte-level.ts"
import { type Component, flatten, mergePairs, type TokenizerDefinition } from "./definition.ts"
import { Tokenizer as LibraryTokenizer } from "./library-components.ts"
import { sparingLongWords } from "./long-words.ts"
import { mergeBorders } from "./merge-borders.ts"
import { rankedVocabulary, tiktokenRanks } from "./merge-ranks.ts"
import { preTokenizer } from "./pre-tokenizers.ts"

/** Ids of normalized text that holds no added token. `first` is true where it begins the whole text. */
export interface Engine {
  readonly name: "bytes" | "tiktoken" | "huggingface"
  readonly encode: (text: string, first: boolean) => ArrayLike<number>
}

/** The fastest engine that gives this definition's ids. */
export const engineOf = (definition: TokenizerDefinition): Engine =>
  byteEngine(definition) ?? tiktokenEngine(definition) ?? libraryEngine(definition)

/** A vocabulary without merges: one id a byte. */
const byteEngine = (definition: TokenizerDefinition): Engine | undefined => {
  const { model } = definition
  const words = wordPattern(definition.pre_tokenizer)
  if (words === undefined || words.addPrefixSpace || mergePairs(model).length > 0) return undefined
  const ranked = rankedVocabulary(model, addedContents(definition))
  if (ranked === undefined) return undefined
  const { ids } = ranked
  return { name: "bytes", encode: (text) => Int32Array.from(utf8(text), (byte) => ids[byte]!) }
}

/** Byte-level BPE on tiktoken; undefined where merges or pre-tokenizer have no equal there. */
export const tiktokenEngine = (definition: TokenizerDefinition): Engine | undefined => {
  const words = wordPattern(definition.pre_tokenizer)
  if (words?.pattern === undefined) return undefined
  const ranked = rankedVocabulary(definition.model, addedContents(definition))
  if (ranked === undefined) return undefined
  const { tokens, ids } = ranked
  const bpe = openTiktoken(tokens, words.pattern)
  if (bpe === undefined) return undefined
  const sizes = Int32Array.from(tokens, (token) => tokenBytes(token)!.length)
  let library: Engine | undefined
  const onLibrary: Engine["encode"] = (text, first) => (library ??= libraryEngine(definition)).encode(text, first)
  const encode: Engine["encode"] = (text, first) => {
    const spaced = words.addPrefixSpace && !text.startsWith(" ") ? ` ${text}` : text
    const ranks = bpe.encode_ordinary(spaced)
    const covered = ranks.reduce((total, rank) => total + sizes[rank]!, 0)
    if (covered === utf8(spaced).length) return ranks.map((rank) => ids[rank]!)
    // tiktoken drops text that the pattern does not match, tokenizer.json keeps it as a word
    return onLibrary(text, first)
  }
  return { name: "tiktoken", encode: sparingLongWords(encode, words.pattern, onLibrary) }
}

/** Any model on @huggingface/tokenizers. */
export const libraryEngine = (definition: TokenizerDefinition): Engine => {
  const { model } = new LibraryTokenizer(
    { ...definition, added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null },
    { unk_token: definition.model.unk_token }
  )
  const cut = preTokenizer(definition.pre_tokenizer)
  const fallsBack = definition.model.type === "Unigram" && definition.model.byte_fallback === true
  const idsOf = (token: string): ReadonlyArray<number> => {
    const id = model.tokens_to_ids.get(token)
    if (id !== undefined) return [id]
    const bytes = fallsBack ? byteFallback(token, model.tokens_to_ids) : undefined
    if (bytes !== undefined) return bytes
    return model.unk_token_id === undefined ? [] : [model.unk_token_id]
  }
  const pieces = mergeBorders(definition.model)
  return { name: "huggingface", encode: (text, first) => model(cut([text], first).flatMap(pieces)).flatMap(idsOf) }
}

interface WordPattern {
  /** Undefined where the whole text is one word. */
  readonly pattern: string | undefined
  readonly addPrefixSpace: boolean
}

/** The one pattern that cuts words, where the pre-tokenizer is such a pattern followed by the byte alphabet. */
const wordPattern = (component: Component | null): WordPattern | undefined => {
  const steps = flatten(component, "pretokenizers")
  const last = steps.at(-1)
  if (last?.type !== "ByteLevel" || steps.length > 2) return undefined
  const addPrefixSpace = last.add_prefix_space !== false
  if (steps.length === 1) return { pattern: last.use_regex === false ? undefined : GPT2_PATTERN, addPrefixSpace }
  const [split] = steps
  const regex = (split!.pattern as { readonly Regex?: string } | undefined)?.Regex
  const cutsOnly = split!.type === "Split" && split!.behavior === "Isolated" && split!.invert !== true
  if (!cutsOnly || regex === undefined || addPrefixSpace || last.use_regex !== false) return undefined
  return { pattern: regex, addPrefixSpace }
}

const openTiktoken = (tokens: ReadonlyArray<string>, pattern: string): Tiktoken | undefined => {
  try {
    return new Tiktoken(tiktokenRanks(tokens), {}, pattern)
  } catch {
    return undefined // a pattern that Rust's regex crate does not know
  }
}

/** Contents that the model never sees, because they are cut out of any text before. */
const addedContents = ({ added_tokens }: TokenizerDefinition): ReadonlySet<string> =>
  new Set(added_tokens.filter((token) => token.single_word !== true).map((token) => token.content))

const byteFallback = (token: string, idOf: ReadonlyMap<string, number>): ReadonlyArray<number> | undefined => {
  const ids = Array.from(utf8(token), (byte) => idOf.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`))
  return ids.every((id) => id !== undefined) ? ids : undefined
}
