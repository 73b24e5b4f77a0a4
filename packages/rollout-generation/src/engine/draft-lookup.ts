/** Guesses what comes next in a sequence from what came next in it before. */
export interface DraftLookup {
  /** Tokens it knows. */
  readonly length: () => number
  readonly push: (id: number) => void
  /** @returns `count` tokens that may come next; none where the last two never stood before */
  readonly draft: (count: number) => ReadonlyArray<number>
}

/** Earlier places that are looked at, the last first. */
const PLACES = 8
/** Tokens in common that are counted. */
const LONGEST = 8

/**
 * Prompt lookup (Saxena, "Prompt Lookup Decoding", 2023): of the last places where the last two tokens stood before, the one
 * with the most tokens in common; the tokens behind it are the draft, and behind the newest one the draft's own.
 *
 * @param vocabulary number of token ids
 */
export const draftLookup = (vocabulary: number): DraftLookup => {
  const tokens: Array<number> = []
  /** The last place behind each pair of tokens; and behind the same pair before each place, 0 where there is none. */
  const [newest, earlier] = [new Map<number, number>(), [0, 0]]
  const inCommon = (place: number): number => {
    let count = 2
    while (count < LONGEST && count < place && tokens[place - 1 - count] === tokens.at(-1 - count)) count += 1
    return count
  }
  return {
    length: () => tokens.length,
    push: (id) => {
      const place = tokens.push(id)
      if (place < 2) return
      const pair = tokens[place - 2]! * vocabulary + id
      earlier[place] = newest.get(pair) ?? 0
      newest.set(pair, place)
    },
    draft: (count) => {
      let [best, common] = [0, 0]
      let place = earlier[tokens.length]!
      for (let looked = 0; place > 0 && looked < PLACES; looked += 1, place = earlier[place]!) {
        const alike = inCommon(place)
        if (alike > common) [best, common] = [place, alike]
      }
      if (common === 0) return []
      const draft: Array<number> = []
      for (let i = best; draft.length < count; i++) draft.push(tokens[i] ?? draft[i - tokens.length]!)
      return draft
    }
  }
}
