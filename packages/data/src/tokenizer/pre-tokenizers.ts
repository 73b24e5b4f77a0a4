import { SplitPreTokenizer } from "./library-components.ts"
import { byteLevelToken, GPT2_PATTERN, utf8 } from "./byte-level.ts"
import { type Component, flatten } from "./definition.ts"

/**
 * Cuts a stretch of text into the words that the model merges inside.
 *
 * @param first true where the stretch is the beginning of the whole text
 */
export type PreTokenizer = (words: ReadonlyArray<string>, first: boolean) => ReadonlyArray<string>

/**
 * The pre-tokenizer of a tokenizer.json, with the semantics of the Rust library: the JavaScript one knows
 * fewer split behaviours, ASCII digits and words only, and joins punctuation. Patterns are compiled by the latter.
 *
 * @throws Error naming a type that is not known
 */
export const preTokenizer = (component: Component | null): PreTokenizer => {
  const steps = flatten(component, "pretokenizers").map(stepOf)
  return (words, first) => steps.reduce((cut, step) => step(cut, first), words)
}

const stepOf = (component: Component): PreTokenizer => {
  const make = TYPES[component.type]
  if (make === undefined) throw new Error(`pre-tokenizer ${component.type} is not supported`)
  return make(component)
}

const eachWord =
  (cut: (word: string) => ReadonlyArray<string>): PreTokenizer =>
  (words) =>
    words.flatMap((word) => cut(word).filter((part) => part !== ""))

const PUNCTUATION = String.raw`[\p{P}\u0021-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u007e]`

const TYPES: Readonly<Record<string, (component: Component) => PreTokenizer>> = {
  ByteLevel: ({ add_prefix_space = true, use_regex = true }) => {
    const pattern = new RegExp(
      GPT2_PATTERN.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}"),
      "gu"
    )
    return eachWord((word) => {
      const spaced = add_prefix_space === true && !word.startsWith(" ") ? ` ${word}` : word
      const parts = use_regex === true ? split(spaced, matches(spaced, pattern), "Isolated") : [spaced]
      return parts.map((part) => byteLevelToken(utf8(part)))
    })
  },
  Split: ({ pattern, behavior, invert = false }) => {
    const regex = compile(pattern as Pattern)
    return eachWord((word) => {
      return split(word, matches(word, regex), behavior as Behavior, invert === true)
    })
  },
  Digits: ({ individual_digits = false }) =>
    bySet(String.raw`\p{N}`, individual_digits === true ? "Isolated" : "Contiguous"),
  Punctuation: ({ behavior = "Isolated" }) => bySet(PUNCTUATION, behavior as Behavior),
  Whitespace: () =>
    eachWord(
      (word) =>
        word.match(
          /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d\p{White_Space}]+/gu
        ) ?? []
    ),
  WhitespaceSplit: () => eachWord((word) => word.match(/\P{White_Space}+/gu) ?? []),
  CharDelimiterSplit: ({ delimiter }) => eachWord((word) => word.split(delimiter as string)),
  BertPreTokenizer: () =>
    eachWord((word) => word.match(new RegExp(`${PUNCTUATION}|(?:(?!${PUNCTUATION})\\P{White_Space})+`, "gu")) ?? []),
  FixedLength: ({ length }) =>
    eachWord((word) => word.match(new RegExp(`[\\s\\S]{1,${length as number}}`, "gu")) ?? []),
  Metaspace: metaspace
}

/** Spaces become ▁, one is put in front as `prepend_scheme` says, and unless `split` is off words start at each ▁. */
function metaspace({
  replacement = "▁",
  prepend_scheme,
  add_prefix_space,
  split: splits = true
}: Component): PreTokenizer {
  const mark = replacement as string
  const scheme = prepend_scheme ?? (add_prefix_space === false ? "never" : "always")
  return (words, first) =>
    words.flatMap((word, i) => {
      const marked = word.replaceAll(" ", mark)
      const prepends = scheme === "always" || (scheme === "first" && first && i === 0)
      const whole = prepends && !marked.startsWith(mark) ? mark + marked : marked
      return splits === false ? [whole] : split(whole, matches(whole, mark), "MergedWithNext")
    })
}

interface Pattern {
  readonly Regex?: string
  readonly String?: string
}

/** A pattern of tokenizer.json (Oniguruma) as a JavaScript regular expression. */
export const compile = (pattern: Pattern): RegExp | string => {
  if (pattern.String !== undefined) return pattern.String
  const { pattern: compiled } = new SplitPreTokenizer({ type: "Split", pattern, behavior: "Isolated", invert: false })
  if (compiled === null) throw new Error(`the pattern ${JSON.stringify(pattern)} is not supported`)
  return compiled
}

type Span = readonly [from: number, to: number]
type Behavior = "Removed" | "Isolated" | "MergedWithPrevious" | "MergedWithNext" | "Contiguous"

/** Where a pattern matches. */
const matches = (text: string, pattern: RegExp | string): ReadonlyArray<Span> => {
  const spans: Array<Span> = []
  if (typeof pattern === "string") {
    for (let at = text.indexOf(pattern); at !== -1; at = text.indexOf(pattern, at + pattern.length)) {
      spans.push([at, at + pattern.length])
    }
    return spans
  }
  for (const match of text.matchAll(pattern)) {
    if (match[0] !== "") spans.push([match.index, match.index + match[0].length])
  }
  return spans
}

const gaps = (text: string, spans: ReadonlyArray<Span>): ReadonlyArray<Span> => {
  const edges = [0, ...spans.flat(), text.length]
  return Array.from({ length: spans.length + 1 }, (_, i): Span => [edges[2 * i]!, edges[2 * i + 1]!]).filter(
    ([from, to]) => from < to
  )
}

const bySet = (set: string, behavior: Behavior): PreTokenizer => {
  const pattern = new RegExp(set, "gu")
  return eachWord((word) => split(word, matches(word, pattern), behavior))
}

/** The parts of a text around its delimiters (inverted: around what is none), as `behavior` joins or removes them. */
const split = (text: string, found: ReadonlyArray<Span>, behavior: Behavior, invert = false): ReadonlyArray<string> => {
  const pieces = [
    ...found.map(([from, to]) => ({ from, to, delimiter: !invert })),
    ...gaps(text, found).map(([from, to]) => ({ from, to, delimiter: invert }))
  ].toSorted((a, b) => a.from - b.from)
  if (behavior === "Removed")
    return pieces.filter((piece) => !piece.delimiter).map(({ from, to }) => text.slice(from, to))
  const cuts = pieces.filter((piece, i) => i === 0 || startsPart(pieces[i - 1]!.delimiter, piece.delimiter, behavior))
  return cuts.map(({ from }, i) => text.slice(from, cuts[i + 1]?.from ?? text.length))
}

const startsPart = (previous: boolean, current: boolean, behavior: Behavior): boolean => {
  if (behavior === "MergedWithPrevious") return !(current && !previous)
  if (behavior === "MergedWithNext") return !(previous && !current)
  if (behavior === "Contiguous") return previous !== current
  return true
}
