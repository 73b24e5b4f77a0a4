import type { RewardRule } from "./rule.ts"

export interface TaggedFormatOptions {
  /** "format" when absent. */
  readonly name?: string
  readonly weight?: number
  /** Sections in their order, e.g. ["think", "answer"]. */
  readonly tags: ReadonlyArray<string>
}

/**
 * 1 where the response is its sections and nothing else, `<think>…</think> <answer>…</answer>`: each once, in order, none
 * empty; else 0.
 */
export const taggedFormat = ({ name = "format", tags, weight = 1 }: TaggedFormatOptions): RewardRule => ({
  name,
  weight,
  score: ({ text }) => {
    let rest = text.trim()
    for (const tag of tags) {
      const [open, close] = [`<${tag}>`, `</${tag}>`]
      const end = rest.indexOf(close)
      if (!rest.startsWith(open) || end < 0) return 0
      const section = rest.slice(open.length, end)
      if (section.trim() === "" || tags.some((other) => section.includes(`<${other}>`))) return 0
      rest = rest.slice(end + close.length).trimStart()
    }
    return rest === "" ? 1 : 0
  }
})
