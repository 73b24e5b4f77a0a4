/**
 * Edits that turn `a` into `b`: insertions, deletions, substitutions and swaps of neighbours, no place edited twice
 * (optimal string alignment).
 */
export const editDistance = (a: string, b: string): number => {
  const rows: Array<Array<number>> = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  for (let row = 1; row <= a.length; row++) {
    rows[row] = [row]
    for (let column = 1; column <= b.length; column++) {
      const cost = a[row - 1] === b[column - 1] ? 0 : 1
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      rows[row]![column] = Math.min(
        rows[row - 1]![column - 1]! + cost,
        rows[row - 1]![column]! + 1,
        rows[row]![column - 1]! + 1,
        swapped ? rows[row - 2]![column - 2]! + 1 : Number.POSITIVE_INFINITY
      )
    }
  }
  return rows[a.length]![b.length]!
}

/** Letters alone, so that `batchSize`, `batch_size` and `batch-size` are near. */
const plain = (name: string) => name.replace(/[-_]/g, "").toLowerCase()

/** The candidate that was probably meant: a few letters away, or the only one that begins with `name`. */
export const nearest = (name: string, candidates: ReadonlyArray<string>): string | undefined => {
  const written = plain(name)
  const ranked = candidates
    .map((candidate) => ({ candidate, distance: editDistance(written, plain(candidate)) }))
    .toSorted((a, b) => a.distance - b.distance)
  const best = ranked[0]
  if (best !== undefined && best.distance <= Math.max(1, Math.floor(written.length / 3))) return best.candidate
  const longer = candidates.filter((candidate) => written.length >= 2 && plain(candidate).startsWith(written))
  return longer.length === 1 ? longer[0] : undefined
}

/** `; did you mean --learning-rate?`, or nothing. */
export const suggestion = (name: string, candidates: ReadonlyArray<string>, prefix = ""): string => {
  const meant = nearest(name, candidates)
  return meant === undefined ? "" : `; did you mean ${prefix}${meant}?`
}
