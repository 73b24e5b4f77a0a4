import type { RewardRule } from "./rule.ts"

export interface PatternOptions {
  /** "pattern" when absent. */
  readonly name?: string
  readonly weight?: number
  readonly expression: RegExp
  /** Whether the whole response must match, white space around it aside; false when absent. */
  readonly whole?: boolean
}

/** 1 where the response matches a regular expression, else 0. */
export const pattern = ({ expression, name = "pattern", weight = 1, whole = false }: PatternOptions): RewardRule => {
  // g and y remember where the last search ended, so the same text would be judged in two ways
  const flags = expression.flags.replace(/[gy]/g, "")
  const stateless = new RegExp(whole ? `${START}(?:${expression.source})${END}` : expression.source, flags)
  return { name, weight, score: ({ text }) => (stateless.test(whole ? text.trim() : text) ? 1 : 0) }
}

/** Borders of the text, whatever the flag m makes of ^ and $. */
const START = String.raw`(?<![\s\S])`
const END = String.raw`(?![\s\S])`
