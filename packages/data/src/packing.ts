/** Micro-batches of `count` units each, in order; the last may be smaller. A unit is what must stay together: a row, a pair. */
export const splitByCount = <Unit>(units: ReadonlyArray<Unit>, count: number): ReadonlyArray<ReadonlyArray<Unit>> => {
  requirePositive(count, "units in a micro-batch")
  return Array.from({ length: Math.ceil(units.length / count) }, (_, m) => units.slice(m * count, (m + 1) * count))
}

export interface TokenBudget<Unit> {
  /** Tokens that a unit costs. */
  readonly tokens: (unit: Unit) => number
  /** Most tokens of a micro-batch. A unit above it stands alone. */
  readonly budget: number
}

/**
 * Micro-batches of at most `budget` tokens by first-fit decreasing: longest unit first, each into the first
 * micro-batch with room. Deterministic; equal lengths keep their order, and so do units inside a micro-batch.
 */
export const splitByTokens = <Unit>(
  units: ReadonlyArray<Unit>,
  { tokens, budget }: TokenBudget<Unit>
): ReadonlyArray<ReadonlyArray<Unit>> => {
  requirePositive(budget, "tokens in a micro-batch")
  const sizes = units.map(tokens)
  const longestFirst = units.map((_, unit) => unit).toSorted((a, b) => sizes[b]! - sizes[a]! || a - b)
  const bins: Array<{ room: number; readonly members: Array<number> }> = []
  for (const unit of longestFirst) {
    const size = sizes[unit]!
    const open = bins.find((bin) => bin.room >= size)
    if (open === undefined) bins.push({ room: budget - size, members: [unit] })
    else {
      open.room -= size
      open.members.push(unit)
    }
  }
  const inOrder = bins.map((bin) => bin.members.toSorted((a, b) => a - b)).toSorted((a, b) => a[0]! - b[0]!)
  return inOrder.map((members) => members.map((unit) => units[unit]!))
}

const requirePositive = (value: number, what: string): void => {
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`${what}: ${value} is not a positive integer`)
}
