/** One part's values of a batch: the responses of each group; undefined where a scorer abstained. */
export type PartValues = ReadonlyArray<ReadonlyArray<number | undefined>>

/** Brings a part's values to a scale of its own. Abstentions stay what they are and count for nothing. */
export interface Normaliser {
  readonly apply: (values: PartValues) => PartValues
  /** Numbers it remembers from batch to batch; absent where there are none. */
  readonly memory?: {
    readonly read: () => Readonly<Record<string, number>>
    readonly restore: (memory: Readonly<Record<string, number>>) => void
  }
}

/** Makes a normaliser for one part, with a memory of its own. */
export type Normalisation = () => Normaliser

export interface StandardisedOptions {
  /** Added to the standard deviation; 10⁻⁴ when absent. */
  readonly epsilon?: number
}

/** (v − mean)/(std + ε) within each group; std with n − 1, and a lone value gives 0. */
export const groupStandardised =
  ({ epsilon = 1e-4 }: StandardisedOptions = {}): Normalisation =>
  () => ({ apply: (values) => values.map((group) => standardised([group], momentsOf(group), epsilon)[0]!) })

/** The same over all responses of the batch. */
export const batchStandardised =
  ({ epsilon = 1e-4 }: StandardisedOptions = {}): Normalisation =>
  () => ({ apply: (values) => standardised(values, momentsOf(values.flat()), epsilon) })

/** By a mean and a standard deviation that were measured before. */
export const standardisedBy =
  (mean: number, deviation: number): Normalisation =>
  () => {
    if (!(deviation > 0)) throw new RangeError(`a standard deviation of ${deviation} is not above 0`)
    return { apply: (values) => mapped(values, (value) => (value - mean) / deviation) }
  }

/**
 * By the mean and standard deviation of every value since the beginning, this batch included. They are remembered: a run
 * that goes on must restore them.
 *
 * @see Welford 1962; Chan et al. 1983 for whole batches
 */
export const runningStandardised =
  ({ epsilon = 1e-4 }: StandardisedOptions = {}): Normalisation =>
  () => {
    let seen: Moments = { count: 0, mean: 0, squares: 0 }
    return {
      apply: (values) => {
        seen = joined(seen, momentsOf(values.flat()))
        return standardised(values, seen, epsilon)
      },
      memory: {
        read: () => ({ ...seen }),
        restore: ({ count = 0, mean = 0, squares = 0 }) => void (seen = { count, mean, squares })
      }
    }
  }

interface Moments {
  readonly count: number
  readonly mean: number
  /** Σ (v − mean)² */
  readonly squares: number
}

const momentsOf = (values: ReadonlyArray<number | undefined>): Moments => {
  const there = values.filter((value) => value !== undefined)
  const mean = there.length === 0 ? 0 : there.reduce((sum, value) => sum + value, 0) / there.length
  return { count: there.length, mean, squares: there.reduce((sum, value) => sum + (value - mean) ** 2, 0) }
}

const joined = (a: Moments, b: Moments): Moments => {
  const count = a.count + b.count
  if (count === 0) return a
  const gap = b.mean - a.mean
  return {
    count,
    mean: a.mean + (gap * b.count) / count,
    squares: a.squares + b.squares + (gap * gap * a.count * b.count) / count
  }
}

const standardised = (values: PartValues, { count, mean, squares }: Moments, epsilon: number): PartValues => {
  const deviation = count > 1 ? Math.sqrt(squares / (count - 1)) : 0
  return mapped(values, (value) => (value - mean) / (deviation + epsilon))
}

const mapped = (values: PartValues, change: (value: number) => number): PartValues =>
  values.map((group) => group.map((value) => (value === undefined ? undefined : change(value))))
