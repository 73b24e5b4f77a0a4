/**
 * GPT-2's alphabet: each byte as one printable character. Printable Latin-1 stands for itself, the others for U+0100 on.
 *
 * @see Radford et al. 2019, https://github.com/openai/gpt-2/blob/master/src/encoder.py (bytes_to_unicode)
 */
export const BYTE_CHARACTERS: ReadonlyArray<string> = (() => {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
})()

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
}

/** The single-byte tokens with ids from `firstId` on, for vocabularies made here. */
export const byteVocabulary = (firstId: number, order: ReadonlyArray<string> = BYTE_CHARACTERS) =>
  order.map((character, i) => [character, firstId + i] as const)

const BYTE_OF: ReadonlyMap<string, number> = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]))

/** The bytes a byte-level token stands for; undefined where a character is outside the alphabet. */
export const tokenBytes = (token: string): Uint8Array | undefined => {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF.get(token[i]!)
    if (byte === undefined) return undefined
    bytes[i] = byte
  }
  return bytes
}

export const byteLevelToken = (bytes: Uint8Array): string => Array.from(bytes, (byte) => BYTE_CHARACTERS[byte]).join("")

const encoder = new TextEncoder()

/** UTF-8 bytes of a text; a lone surrogate counts as U+FFFD. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text)

// ignoreBOM keeps a leading U+FEFF as text
const decoder = new TextDecoder("utf-8", { ignoreBOM: true })

/** Text of bytes that need not be whole characters; each broken part gives one U+FFFD. */
export const lossyUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes)

/** GPT-2's own pre-tokenizer pattern, which `ByteLevel` with `use_regex` means. */
export const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

/** GPT-4's (cl100k_base), which Llama 3 shares. */
export const GPT4_PATTERN = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
