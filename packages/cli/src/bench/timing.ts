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
