/**
 * What a judge's text says; undefined where it says nothing that is understood. A verdict is the share of the comparison that
 * the response it read first wins: 1, 0, ½ for a tie.
 */
export type VerdictReader = (text: string) => number | undefined
export type RatingReader = (text: string) => number | undefined

/** MT-Bench's letters, and Arena-Hard's degrees. */
const VERDICTS: Readonly<Record<string, number>> = {
  A: 1,
  B: 0,
  C: 0.5,
  "A>>B": 1,
  "A>B": 0.75,
  "A=B": 0.5,
  "B>A": 0.25,
  "B>>A": 0
}

/** `[[A]]`, `[[B]]`, `[[C]]` for a tie, or `[[A>>B]]`, `[[A>B]]`, `[[A=B]]` …; one kind alone, or the text is not understood. */
export const bracketedVerdict: VerdictReader = (text) => {
  const found = new Set(Array.from(text.matchAll(/\[\[([A-C<>=]+)\]\]/g), ([, verdict]) => VERDICTS[verdict!]))
  return found.size === 1 ? [...found][0] : undefined
}

/** `[[7]]` or `Rating: 7`, within the scale; several different ones are not understood. */
export const bracketedRating =
  ({ max, min }: { readonly min: number; readonly max: number }): RatingReader =>
  (text) => {
    const bracketed = Array.from(text.matchAll(/\[\[\s*(-?\d+(?:\.\d+)?)\s*\]\]/g), ([, number]) => Number(number))
    const named = Array.from(text.matchAll(/\b(?:rating|score)\s*[:=]\s*(-?\d+(?:\.\d+)?)/gi), ([, number]) =>
      Number(number)
    )
    const found = new Set(bracketed.length > 0 ? bracketed : named)
    const [rating] = found
    return found.size === 1 && rating! >= min && rating! <= max ? rating : undefined
  }
