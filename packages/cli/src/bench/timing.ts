/** Seconds that `run` takes. */
export const secondsOf = (run: () => void): number => {
  const begun = performance.now()
  run()
  return (performance.now() - begun) / 1000
}

/** The middle one of several, the mean of the two in the middle of an even number. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!]
  return (lower + upper) / 2
}

/** What `run` gives, `count` times, or as often as it begins within so many seconds; once at least. */
export const repeated = <A>(count: number, seconds: number, run: () => A): ReadonlyArray<A> => {
  const begun = performance.now()
  const results = [run()]
  while (results.length < count && performance.now() - begun < seconds * 1000) results.push(run())
  return results
}
