import type { Tensor1D } from "@plumbline/runtime"
import type { Observed, Unit, UnitSum } from "./objective.ts"

/** Terms and metrics of a micro-batch, before the device was read. */
export interface MicroBatchRecord {
  readonly origins: ReadonlyArray<string>
  readonly layout: ReadonlyArray<{
    readonly name: string
    readonly unit: Unit
    readonly weight: number
    readonly size: number
    readonly extreme: UnitSum["extreme"]
  }>
  readonly observed: ReadonlyArray<{ readonly name: string; readonly size: number }>
  /** Every term, metric and what is observed end to end, kept until the step is read. */
  readonly values: Tensor1D
}

/** Name under which the terms of the loss are recorded. */
export const LOSS = "loss"

/** Sums in float64, so that a metric does not depend on the split either. @param all `values` of all records */
export const metricsOf = (
  records: ReadonlyArray<MicroBatchRecord>,
  all: Float32Array,
  counts: Readonly<Record<Unit, number>>
) => {
  const learns = records.some(({ layout }) => layout.some(({ name }) => name === LOSS))
  const metrics: Record<string, number> = learns ? { [LOSS]: 0 } : {}
  const withoutUnits = new Set<string>()
  const brokenOrigins = new Set<string>()
  let offset = 0
  for (const { layout, observed, origins } of records) {
    for (const part of layout) {
      const values = all.subarray(offset, (offset += part.size))
      if (part.name === LOSS)
        brokenUnits(values).forEach((i) => brokenOrigins.add(origins[i] ?? `unit ${i} of the batch`))
      const value = joined(part, values, metrics[part.name], counts)
      if (value !== undefined) metrics[part.name] = value
      else if (part.name !== LOSS) withoutUnits.add(part.name)
    }
    for (const { size } of observed) offset += size
  }
  // a mean over nothing is no number, and no zero either: it is left out
  for (const name of withoutUnits) delete metrics[name]
  return { metrics, brokenOrigins: [...brokenOrigins] }
}

/** What each micro-batch showed. @param all as of `metricsOf` */
export const observedOf = (records: ReadonlyArray<MicroBatchRecord>, all: Float32Array): ReadonlyArray<Observed> => {
  let offset = 0
  return records.map(({ layout, observed }) => {
    for (const { size } of layout) offset += size
    return Object.fromEntries(observed.map(({ name, size }) => [name, all.slice(offset, (offset += size))]))
  })
}

/** The metric with the values of one more micro-batch; nothing where the global batch has none of its unit. */
const joined = (
  { extreme, unit, weight }: MicroBatchRecord["layout"][number],
  values: Float32Array,
  before: number | undefined,
  counts: Readonly<Record<Unit, number>>
): number | undefined => {
  if (extreme !== undefined && values.length === 0) return before
  if (extreme === "least") return Math.min(before ?? Infinity, ...values)
  if (extreme === "greatest") return Math.max(before ?? -Infinity, ...values)
  const count = countOf(counts, unit)
  const sum = values.reduce((total, value) => total + value, 0)
  return count > 0 ? (before ?? 0) + (weight * sum) / count : undefined
}

/** Places of what is not finite. */
const brokenUnits = (values: Float32Array): ReadonlyArray<number> =>
  Array.from(values.keys()).filter((i) => !Number.isFinite(values[i]))

export const countOf = (counts: Readonly<Record<Unit, number>>, unit: Unit): number => {
  const count = counts[unit]
  if (count === undefined) throw new Error(`the objective does not count its unit "${unit}"`)
  return count
}
