/** What may be drawn of a distribution. */
export interface Filters {
  /** Most tokens, from 1. */
  readonly topK: number
  /** Of the mass that top-k kept, in (0, 1]. */
  readonly topP: number
  /** Of the largest weight, in [0, 1]. */
  readonly minP: number
}

/** What misses p by rounding reaches it. */
const ROUNDING = 1e-6

/**
 * Sets the weights that the filters drop to 0. Of equal weights at a border the lower ids stay.
 *
 * @param weights [V], the largest is 1
 * @param total   their sum
 * @returns       the sum of what stays
 */
export const keptTokens = (weights: Float64Array, total: number, { minP, topK, topP }: Filters): number => {
  let kept = total
  if (topK < weights.length) kept = keepBorder(weights, selectCount(weights, topK))
  if (topP < 1) kept = keepBorder(weights, selectMass(weights, kept * topP * (1 - ROUNDING)))
  return minP > 0 ? keepBorder(weights, { least: minP * (1 - ROUNDING), equals: Infinity }) : kept
}

/** Weights above `least` stay, and the first `equals` that are equal to it. */
interface Border {
  readonly least: number
  readonly equals: number
}

const keepBorder = (weights: Float64Array, { equals, least }: Border): number => {
  let sum = 0
  let seen = 0
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!
    if (weight > least || (weight === least && seen++ < equals)) sum += weight
    else weights[id] = 0
  }
  return sum
}

/** The border of the `count` largest weights. */
const selectCount = (weights: Float64Array, count: number): Border => select(weights, count, () => 1)

/** The border of the fewest largest weights whose sum is at least `mass`. */
const selectMass = (weights: Float64Array, mass: number): Border => select(weights, mass, (weight) => weight)

/** Copies of the weights in any order, reused from row to row. */
let scratch = new Float64Array(0)

/**
 * The border of the fewest largest weights whose measure reaches `need`, by partitions around a pivot: no sorting, and
 * time that grows with V.
 */
const select = (weights: Float64Array, need: number, measure: (weight: number) => number): Border => {
  if (scratch.length < weights.length) scratch = new Float64Array(weights.length)
  const values = scratch
  values.set(weights)
  let [from, to, rest] = [0, weights.length, need]
  for (;;) {
    const pivot = middle(values[from]!, values[(from + to) >> 1]!, values[to - 1]!)
    const { above, equal } = partition(values, from, to, pivot)
    let larger = 0
    for (let i = from; i < above; i++) larger += measure(values[i]!)
    if (above > from && rest <= larger) {
      to = above
      continue
    }
    rest -= larger
    const one = measure(pivot)
    if (rest <= one * (equal - above) || equal === to)
      return { least: pivot, equals: Math.max(1, Math.ceil(rest / one)) }
    rest -= one * (equal - above)
    from = equal
  }
}

const middle = (a: number, b: number, c: number): number => Math.max(Math.min(a, b), Math.min(Math.max(a, b), c))

/** Values above the pivot to the front, below it to the back. @returns where those equal to it begin and end */
const partition = (values: Float64Array, from: number, to: number, pivot: number) => {
  let above = from
  let equal = to
  for (let i = from; i < equal;) {
    const value = values[i]!
    if (value > pivot) {
      values[i++] = values[above]!
      values[above++] = value
    } else if (value < pivot) {
      values[i] = values[--equal]!
      values[equal] = value
    } else i++
  }
  return { above, equal }
}
