import type { Tensor1D } from "@plumbline/runtime"
import { ObjectiveInvalid } from "./errors.ts"
import type { Observed, Unit, UnitSum } from "./objective.ts"

/** What the terms and metrics of a micro-batch are, without their values. */
export interface RecordLayout {
  readonly origins: ReadonlyArray<string>
  readonly layout: ReadonlyArray<{
    readonly name: string
    readonly unit: Unit
    readonly weight: number
    readonly size: number
    readonly extreme: UnitSum["extreme"]
  }>
  readonly observed: ReadonlyArray<{ readonly name: string; readonly size: number }>
}

/** Terms and metrics of a micro-batch, before the device was read. */
export interface MicroBatchRecord extends RecordLayout {
  /** Every term, metric and what is observed end to end, kept until the step is read. */
  readonly values: Tensor1D
}

/** Name under which the terms of the loss are recorded. */
export const LOSS = "loss"

/**
 * Sums in float64 over all micro-batches, each divided once: a metric does not depend on the split, and the mean of ones
 * is 1 exactly. @param all `values` of all records
 */
export const metricsOf = (
  records: ReadonlyArray<RecordLayout>,
  all: Float32Array,
  counts: Readonly<Record<Unit, number>>
) => {
  const learns = records.some(({ layout }) => layout.some(({ name }) => name === LOSS))
  const totals = new Map<string, Array<Total>>(learns ? [[LOSS, []]] : [])
  const brokenOrigins = new Set<string>()
  let offset = 0
  for (const { layout, observed, origins } of records) {
    for (const part of layout) {
      const values = all.subarray(offset, (offset += part.size))
      if (part.name === LOSS)
        brokenUnits(values).forEach((i) => brokenOrigins.add(origins[i] ?? `unit ${i} of the batch`))
      totals.set(part.name, joined(part, values, totals.get(part.name) ?? []))
    }
    for (const { size } of observed) offset += size
  }
  const metrics: Record<string, number> = {}
  for (const [name, parts] of totals) {
    const known = parts.filter(({ extreme, unit }) => extreme !== undefined || countOf(counts, unit) > 0)
    // a mean over nothing is no number, and no zero either: a metric with one in it is left out; the loss has none of it
    const isWhole = known.length > 0 && known.length === parts.length
    if (isWhole || name === LOSS) metrics[name] = valueOf(known, counts)
  }
  return { metrics, brokenOrigins: [...brokenOrigins] }
}

/** What the micro-batches so far add up to, of a metric's values with one unit and weight. */
interface Total extends Pick<RecordLayout["layout"][number], "unit" | "weight" | "extreme"> {
  readonly total: number
}

/** What each micro-batch showed. @param all as of `metricsOf` */
export const observedOf = (records: ReadonlyArray<RecordLayout>, all: Float32Array): ReadonlyArray<Observed> => {
  let offset = 0
  return records.map(({ layout, observed }) => {
    for (const { size } of layout) offset += size
    return Object.fromEntries(observed.map(({ name, size }) => [name, all.slice(offset, (offset += size))]))
  })
}

/** The totals with the values of one more micro-batch. */
const joined = (
  { extreme, unit, weight }: RecordLayout["layout"][number],
  values: Float32Array,
  before: Array<Total>
): Array<Total> => {
  if (extreme !== undefined && values.length === 0) return before
  const own = before.findIndex((part) => part.unit === unit && part.weight === weight && part.extreme === extreme)
  const total = own < 0 ? undefined : before[own]!.total
  const next = { unit, weight, extreme, total: withValues(total, values, extreme) }
  return own < 0 ? [...before, next] : before.with(own, next)
}

/** Loops, as a device stands still meanwhile: of hundreds of thousands of values a closure for each takes ten times as long. */
const withValues = (before: number | undefined, values: Float32Array, extreme: UnitSum["extreme"]): number => {
  if (extreme === undefined) {
    let sum = before ?? 0
    for (let i = 0; i < values.length; i++) sum += values[i]!
    return sum
  }
  const further = extreme === "least" ? Math.min : Math.max
  let found = before ?? (extreme === "least" ? Infinity : -Infinity)
  for (let i = 0; i < values.length; i++) found = further(found, values[i]!)
  return found
}

const valueOf = (parts: ReadonlyArray<Total>, counts: Readonly<Record<Unit, number>>): number => {
  let value = 0
  for (const { extreme, total, unit, weight } of parts) {
    value = extreme === undefined ? value + (weight * total) / countOf(counts, unit) : total
  }
  return value
}

/** Places of what is not finite. */
const brokenUnits = (values: Float32Array): ReadonlyArray<number> => {
  const places: Array<number> = []
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) places.push(i)
  return places
}

export const countOf = (counts: Readonly<Record<Unit, number>>, unit: Unit): number => {
  const count = counts[unit]
  if (count === undefined)
    throw new ObjectiveInvalid({ reason: `its loss has the unit "${unit}", which its counts leave out` })
  return count
}
