import { incrementalText, type TokenizerShape } from "@plumbline/data"

/** The text of one response on its way to a client. What was handed out is never taken back. */
export interface HeldText {
  /** @returns text that is certain now: whole characters, and nothing that a stop string could still claim */
  readonly push: (id: number) => string
  /** Characters (code points, as OpenAI counts) of the text that is known, handed out or held. */
  readonly length: () => number
  /** @param whole the text of the whole response. @returns what of it was not handed out yet */
  readonly finish: (whole: string) => string
}

export const heldText = (
  tokenizer: TokenizerShape,
  stopStrings: ReadonlyArray<string>,
  skipSpecialTokens: boolean
): HeldText => {
  const text = incrementalText(tokenizer, { skipSpecialTokens, settled: true })
  let told = ""
  let held = ""
  let length = 0
  return {
    push: (id) => {
      // the response went on after what is held: a stop string that lies whole in it did not end it
      const passed = held.length
      const next = text.push(id)
      length += codePoints(next)
      held += next
      const free = Math.min(...stopStrings.map((stop) => freeLength(held, stop, passed)), held.length)
      const out = held.slice(0, free)
      held = held.slice(free)
      told += out
      return out
    },
    length: () => length,
    finish: (whole) => whole.slice(told.length)
  }
}

/** Characters of a text as Python, and so OpenAI, counts them: one for an emoji. */
export const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** Length of the part of `held` that cannot belong to a match of `stop` which ends after `passed`. */
const freeLength = (held: string, stop: string, passed: number): number => {
  const whole = held.indexOf(stop, Math.max(0, passed - stop.length + 1))
  if (whole >= 0) return whole
  for (let length = Math.min(stop.length - 1, held.length); length > 0; length--) {
    if (held.endsWith(stop.slice(0, length))) return held.length - length
  }
  return held.length
}
