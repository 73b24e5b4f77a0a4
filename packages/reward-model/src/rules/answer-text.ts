/** Where in a text its answer stands; undefined where there is none. */
export type AnswerText = (text: string) => string | undefined

/** What follows the last `####` on its line: GSM8K's convention. */
export const afterHashes: AnswerText = (text) => {
  const at = text.lastIndexOf("####")
  return at < 0 ? undefined : present(text.slice(at + 4).split("\n", 1)[0]!)
}

/** What the last `\boxed{…}` holds. */
export const boxed: AnswerText = (text) => {
  const open = text.lastIndexOf("\\boxed{")
  if (open < 0) return undefined
  const start = open + "\\boxed{".length
  let depth = 1
  for (let i = start; i < text.length; i++) {
    if (text[i] === "{") depth++
    else if (text[i] === "}" && --depth === 0) return present(text.slice(start, i))
  }
  return undefined
}

/** What the last pair of tags holds. */
export const tagged =
  (tag: string): AnswerText =>
  (text) => {
    const close = text.lastIndexOf(`</${tag}>`)
    const open = close < 0 ? -1 : text.lastIndexOf(`<${tag}>`, close)
    return open < 0 ? undefined : present(text.slice(open + tag.length + 2, close))
  }

const NUMBERS = /[-−+]?[$€£¥]?\d[\d,]*(?:\.\d+)?(?:\/\d+)?/g

/** The last number of the text: generous, and easy to be right with by chance. */
export const lastNumber: AnswerText = (text) => text.match(NUMBERS)?.at(-1)

/** The whole text. */
export const wholeText: AnswerText = (text) => present(text)

const present = (text: string): string | undefined => {
  const trimmed = text.trim()
  return trimmed === "" ? undefined : trimmed
}
