const QUOTE = 0x22
const BACKSLASH = 0x5c
const LIST = 0x5b
const OBJECT = 0x7b

/** Whether a JSON text has more than `most` texts, keys included, lists and objects; found without making any of them. */
export const hasMoreParts = (json: Uint8Array, most: number): boolean => {
  if (json.length <= most) return false
  const { length } = json
  let parts = 0
  for (let i = 0; i < length && parts <= most; i++) {
    const byte = json[i]
    if (byte === QUOTE) {
      parts++
      i = closingQuote(json, i + 1)
    } else if (byte === LIST || byte === OBJECT) parts++
  }
  return parts > most
}

const closingQuote = (json: Uint8Array, from: number): number => {
  const { length } = json
  const first = json.indexOf(QUOTE, from)
  if (first < 0 || json[first - 1] !== BACKSLASH) return first < 0 ? length : first
  let at = from
  while (at < length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1
  return at
}
