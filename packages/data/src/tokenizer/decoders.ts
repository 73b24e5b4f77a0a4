import { BPEDecoder, CTCDecoder, WordPieceDecoder } from "./library-components.ts"
import { lossyUtf8, tokenBytes, utf8 } from "./byte-level.ts"
import { type Component, flatten } from "./definition.ts"
import { compile } from "./pre-tokenizers.ts"

/** Text of a list of tokens. */
export type Decoder = (tokens: ReadonlyArray<string>) => string

type Step = (tokens: ReadonlyArray<string>) => ReadonlyArray<string>

/**
 * The decoder of a tokenizer.json with the semantics of the Rust library, which differ from the JavaScript one's for
 * broken UTF-8. Without a decoder tokens are joined by spaces.
 *
 * @throws Error naming a type that is not known
 */
export const decoderOf = (component: Component | null): Decoder => {
  if (component === null) return (tokens) => tokens.join(" ")
  const steps = flatten(component, "decoders").map((step) => {
    const make = TYPES[step.type]
    if (make === undefined) throw new Error(`decoder ${step.type} is not supported`)
    return make(step)
  })
  return (tokens) => steps.reduce((parts, step) => step(parts), tokens).join("")
}

const TYPES: Readonly<Record<string, (component: Component) => Step>> = {
  ByteLevel: () => {
    const bytesOf = rememberedBytes()
    return (tokens) => [lossyUtf8(Buffer.concat(tokens.map(bytesOf)))]
  },
  ByteFallback: () => byteFallback,
  Fuse: () => (tokens) => [tokens.join("")],
  Replace: ({ pattern, content }) => {
    const what = compile(pattern as { readonly Regex?: string; readonly String?: string })
    return (tokens) => tokens.map((token) => token.replaceAll(what, () => content as string))
  },
  Strip: ({ content, start, stop }) => {
    const [mark, leading, trailing] = [content as string, start as number, stop as number]
    return (tokens) => tokens.map((token) => strip(token, mark, leading, trailing))
  },
  Metaspace: ({ replacement = "▁", prepend_scheme, add_prefix_space }) => {
    const keepsFirst = prepend_scheme === "never" || (prepend_scheme === undefined && add_prefix_space === false)
    return (tokens) =>
      tokens.map((token, i) => token.replaceAll(replacement as string, i === 0 && !keepsFirst ? "" : " "))
  },
  WordPiece: (component) => (tokens) => new WordPieceDecoder(component).decode_chain(tokens),
  BPEDecoder: (component) => (tokens) => new BPEDecoder(component).decode_chain(tokens),
  CTC: (component) => (tokens) => new CTCDecoder(component).decode_chain(tokens)
}

/** Bytes of byte-level tokens, worked out once for each; at most as many as the vocabulary has. */
const rememberedBytes = () => {
  const known = new Map<string, Uint8Array>()
  return (token: string): Uint8Array => {
    const found = known.get(token)
    if (found !== undefined) return found
    const bytes = tokenBytes(token) ?? utf8(token)
    known.set(token, bytes)
    return bytes
  }
}

/** The bytes that a token alone stands for; undefined where it is text, or where no token of the decoder's is bytes. */
export const bytesDecoderOf = (component: Component | null): ((token: string) => Uint8Array | undefined) => {
  const types = component === null ? [] : flatten(component, "decoders").map(({ type }) => type)
  if (types.includes("ByteLevel")) return (token) => tokenBytes(token) ?? utf8(token)
  if (!types.includes("ByteFallback")) return () => undefined
  return (token) => {
    const byte = BYTE_TOKEN.exec(token)
    return byte === null ? undefined : Uint8Array.of(Number.parseInt(byte[1]!, 16))
  }
}

const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Runs of <0xNN> tokens become text; a run that is not UTF-8 becomes one U+FFFD a byte. */
const byteFallback: Step = (tokens) => {
  const out: Array<string> = []
  let run: Array<number> = []
  const flush = () => {
    if (run.length > 0) out.push(runText(run))
    run = []
  }
  for (const token of tokens) {
    const byte = BYTE_TOKEN.exec(token)
    if (byte !== null) run.push(Number.parseInt(byte[1]!, 16))
    else {
      flush()
      out.push(token)
    }
  }
  flush()
  return out
}

const runText = (run: ReadonlyArray<number>): string => {
  try {
    return strictUtf8.decode(Uint8Array.from(run))
  } catch {
    return "\uFFFD".repeat(run.length)
  }
}

const strip = (token: string, mark: string, leading: number, trailing: number): string => {
  let from = 0
  while (from < leading && token[from] === mark) from++
  let to = token.length
  while (token.length - to < trailing && to > from && token[to - 1] === mark) to--
  return token.slice(from, to)
}
