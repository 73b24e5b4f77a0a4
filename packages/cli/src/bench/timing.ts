/** Seconds that `run` takes. */
export const secondsOf = (run: () => void): number => {
  const begun = performance.now()
  run()
  return (performance.now() - begun) / 1000
}

/** The middle one of several, the upper of two. */
export const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
