import { createHash } from "node:crypto"
import { ChatTemplateInvalid, TokenizerInvalid } from "../errors.ts"
import { addedTokenSplitter } from "./added-tokens.ts"
import { type ChatTemplate, chatTemplate, type TextSpan } from "./chat-template.ts"
import { bytesDecoderOf, decoderOf } from "./decoders.ts"
import { type TokenizerDefinition, vocabularyEntries, vocabularySize } from "./definition.ts"
import { type Engine, engineOf } from "./engines.ts"
import { Tokenizer as LibraryTokenizer } from "./library-components.ts"
import { surroundingsOf } from "./post-processor.ts"
import { namedSpecials, type SpecialTokenFields, withSpecialTokens } from "./special-tokens.ts"
import type { TokenizerShape } from "./tokenizer.ts"

export interface TokenizerParts {
  /** Where it comes from, for messages. */
  readonly source: string
  readonly definition: TokenizerDefinition
  /** tokenizer_config.json over special_tokens_map.json. */
  readonly config: SpecialTokenFields
  readonly template: string | undefined
  /** EOS ids of generation_config.json or config.json; the first stands in where no EOS token is named. */
  readonly stopIds: ReadonlyArray<number>
  readonly files: () => Readonly<Record<string, string>>
  /** Instead of the engine chosen from the definition. */
  readonly engine?: Engine
}

/**
 * A working tokenizer from the parts of a Hugging Face folder.
 *
 * @throws TokenizerInvalid where a component is not known or the definition contradicts itself
 */
export const assembleTokenizer = (parts: TokenizerParts): TokenizerShape => {
  try {
    return assemble(parts)
  } catch (cause) {
    if (cause instanceof ChatTemplateInvalid) throw cause
    throw new TokenizerInvalid({ file: parts.source, reason: (cause as Error).message })
  }
}

const assemble = (parts: TokenizerParts): TokenizerShape => {
  const { config, source } = parts
  const definition = withSpecialTokens(parts.definition, config)
  const engine = parts.engine ?? engineOf(definition)
  const specials = namedSpecials(config)
  const idOf = tokenIds(definition)
  const tokenOf = new Map([...idOf].map(([token, id]) => [id, token]))
  const idOfSpecial = (content: string | undefined) => (content === undefined ? undefined : idOf.get(content))
  const vocabSize = vocabularySize(definition)
  // transformers writes its default for a family where nobody chose an id, whatever the vocabulary
  const stopIds = parts.stopIds.filter((id) => id >= 0 && id < vocabSize)
  const eosId = idOfSpecial(specials.eos_token) ?? stopIds[0]
  const bosId = idOfSpecial(specials.bos_token)
  const { prefix, suffix } = surroundingsOf(definition.post_processor)
  let made: Readonly<Record<string, string>> | undefined
  const files = () => (made ??= parts.files())
  const encodeText = textEncoder(definition, engine)
  const template =
    parts.template === undefined ? undefined : chatTemplate(parts.template, { tokenizer: source, specials })
  const encode: TokenizerShape["encode"] = (text, { addSpecialTokens = true } = {}) => {
    const ids = encodeText(text)
    return Int32Array.from(addSpecialTokens ? [...prefix, ...ids, ...suffix] : ids)
  }
  return {
    name: `${engine.name}: ${source}`,
    vocabSize,
    bosId,
    eosId,
    padId: idOfSpecial(specials.pad_token) ?? eosId ?? 0,
    stopIds: [...new Set([...(eosId === undefined ? [] : [eosId]), ...stopIds])],
    prefixIds: Int32Array.from(prefix),
    suffixIds: Int32Array.from(suffix),
    get digest() {
      return digestOf(files())
    },
    get files() {
      return files()
    },
    encode,
    decode: textDecoder(definition, config, tokenOf),
    tokenBytes: byteReader(definition, tokenOf),
    ...chatMethods(template, source, encode)
  }
}

/** Normalizer, added tokens and engine in the order of the Rust library. */
const textEncoder = (definition: TokenizerDefinition, engine: Engine) => {
  const { normalizer } = new LibraryTokenizer(
    {
      ...definition,
      added_tokens: [],
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: { type: "BPE", vocab: {}, merges: [] }
    },
    {}
  )
  const normalize = (text: string) => (normalizer === null || text === "" ? text : normalizer(text))
  const verbatim = definition.added_tokens.filter((token) => token.normalized !== true)
  const normalized = definition.added_tokens.filter((token) => token.normalized === true)
  const splitVerbatim = addedTokenSplitter(verbatim)
  const splitNormalized = addedTokenSplitter(
    normalized,
    normalized.map((token) => normalize(token.content))
  )
  return (text: string): ReadonlyArray<number> => {
    const ids: Array<number> = []
    for (const outer of splitVerbatim(text)) {
      if (outer.id !== undefined) {
        ids.push(outer.id)
        continue
      }
      for (const inner of splitNormalized(normalize(outer.text))) {
        if (inner.id !== undefined) ids.push(inner.id)
        else
          for (const id of Array.from(engine.encode(inner.text, outer.start === 0 && inner.start === 0))) ids.push(id)
      }
    }
    return ids
  }
}

const textDecoder = (
  definition: TokenizerDefinition,
  config: SpecialTokenFields,
  tokenOf: ReadonlyMap<number, string>
): TokenizerShape["decode"] => {
  const decodeTokens = decoderOf(definition.decoder)
  const special = new Set(
    definition.added_tokens.filter((token) => token.special === true).map((token) => token.content)
  )
  // as transformers: made for WordPiece, it would corrupt BPE text
  const cleansUp = config.clean_up_tokenization_spaces === true && definition.model.type !== "BPE"
  return (ids, { skipSpecialTokens = false } = {}) => {
    const tokens: Array<string> = []
    for (let t = 0; t < ids.length; t++) {
      const token = tokenOf.get(ids[t]!)
      if (token !== undefined && !(skipSpecialTokens && special.has(token))) tokens.push(token)
    }
    const text = decodeTokens(tokens)
    return cleansUp
      ? text
          .replace(/ ([.?!,])/g, "$1")
          .replaceAll(" ' ", "'")
          .replace(/ (n't|'m|'s|'ve|'re)/g, "$1")
      : text
  }
}

const byteReader = (
  definition: TokenizerDefinition,
  tokenOf: ReadonlyMap<number, string>
): TokenizerShape["tokenBytes"] => {
  const bytesOf = bytesDecoderOf(definition.decoder)
  return (id) => {
    const token = tokenOf.get(id)
    return token === undefined ? undefined : bytesOf(token)
  }
}

const chatMethods = (
  template: ChatTemplate | undefined,
  source: string,
  encode: TokenizerShape["encode"]
): Pick<TokenizerShape, "chatTemplate" | "renderChat" | "encodeChat"> => {
  const present = (): ChatTemplate => {
    if (template !== undefined) return template
    throw new ChatTemplateInvalid({ tokenizer: source, reason: "there is none; message lists need one" })
  }
  return {
    chatTemplate: template?.source,
    renderChat: (messages, options) => present().render(messages, options),
    encodeChat: (messages, options) => {
      const { text, spans } = present().renderWithSpans(messages, options)
      const ids = encode(text, { addSpecialTokens: false })
      return { ids, assistantMask: spanMask(text, ids, spans, encode) }
    }
  }
}

/**
 * Tokens inside the spans. A token across a span's edge belongs to it, as in transformers. Where an edge lies is told by how
 * far the tokens of the text before it agree with those of the whole.
 */
const spanMask = (
  text: string,
  ids: Int32Array,
  spans: ReadonlyArray<TextSpan>,
  encode: TokenizerShape["encode"]
): Uint8Array => {
  const mask = new Uint8Array(ids.length)
  for (const [start, end] of spans) {
    const before = encode(text.slice(0, start), { addSpecialTokens: false })
    const through = encode(text.slice(0, end), { addSpecialTokens: false })
    const shared = sharedPrefix(through, ids)
    mask.fill(1, sharedPrefix(before, ids), shared === through.length ? shared : shared + 1)
  }
  return mask
}

/** Number of leading elements that two id lists share. */
export const sharedPrefix = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  const end = Math.min(a.length, b.length)
  let shared = 0
  while (shared < end && a[shared] === b[shared]) shared++
  return shared
}

const tokenIds = (definition: TokenizerDefinition): ReadonlyMap<string, number> =>
  new Map([
    ...vocabularyEntries(definition.model),
    ...definition.added_tokens.map(({ content, id }) => [content, id] as const)
  ])

const digestOf = (files: Readonly<Record<string, string>>): string => {
  const hash = createHash("sha256")
  for (const name of Object.keys(files).toSorted()) hash.update(`${name}\0${files[name]!.length}\0${files[name]}\0`)
  return hash.digest("hex")
}
