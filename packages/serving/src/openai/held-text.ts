import { incrementalText, type TokenizerShape } from "@plumbline/data"

/** The text of one response on its way to a client. What was handed out is never taken back. */
export interface HeldText {
  /** @returns text that is certain now: whole characters, and nothing that a stop string could still claim */
  readonly push: (id: number) => string
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
  return {
    push: (id) => {
      // the response went on after what is held: a stop string that lies whole in it did not end it
      const passed = held.length
      held += text.push(id)
      const free = Math.min(...stopStrings.map((stop) => freeLength(held, stop, passed)), held.length)
      const out = held.slice(0, free)
      held = held.slice(free)
      told += out
      return out
    },
    finish: (whole) => whole.slice(told.length)
  }
}

/** Length of the part of `held` that cannot belong to a match of `stop` which ends after `passed`. */
const freeLength = (held: string, stop: string, passed: number): number => {
  const whole = held.indexOf(stop, Math.max(0, passed - stop.length + 1))
  if (whole >= 0) return whole
  return held.length - begun(held, stop)
}

/** How much of the end of a text may be the beginning of a mark. */
export const begun = (text: string, mark: string): number => {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(mark.slice(0, length))) return length
  }
  return 0
}
