import { Processes, tf } from "@plumbline/runtime"
import { type DataUnit, type LossSums, type MicroBatch, type Objective, shareWork } from "@plumbline/training"
import { Effect } from "effect"

/** A micro-batch that says how its experience came about. */
export interface Reported {
  /** By metric: a number for each response that was written, kept or not; a metric's mean is over all of the step. */
  readonly report: Readonly<Record<string, Float32Array>>
}

/** The objective, with the means of what batches report as metrics beside its own. */
export const reporting = <Models, Batch extends MicroBatch>(
  objective: Objective<Models, Batch>
): Objective<Models, Batch & Reported> => ({
  ...(objective as Objective<Models, Batch & Reported>),
  counts: (batch) => ({ ...objective.counts(batch), ...sizes(batch) }),
  loss: (models, batch, shared): LossSums => {
    if (batch.origins.length === 0) return { terms: [], metrics: reportMetrics(batch) }
    const { metrics, terms } = objective.loss(models, batch, shared)
    return { terms, metrics: { ...metrics, ...reportMetrics(batch) } }
  }
})

const sizes = ({ report }: Reported): Readonly<Record<string, number>> =>
  Object.fromEntries(Object.entries(report).map(([name, values]) => [name, values.length]))

const reportMetrics = ({ report }: Reported) =>
  Object.fromEntries(
    Object.entries(report)
      .filter(([, values]) => values.length > 0)
      .map(([name, values]) => [name, { unit: name, values: tf.tensor1d(values) }])
  )

/**
 * The report on a step with its first micro-batch; the others report nothing, so that it counts once.
 *
 * @param make a micro-batch of units: of none, where the step has none and only the report remains
 */
export const withReport = <Unit extends DataUnit, Batch>(
  parts: ReadonlyArray<ReadonlyArray<Unit>>,
  make: (units: ReadonlyArray<Unit>) => Batch,
  report: Reported["report"]
): Effect.Effect<ReadonlyArray<Batch & Reported>> =>
  Effect.map(Processes, (processes) => {
    const nothing = Object.fromEntries(Object.keys(report).map((name) => [name, new Float32Array(0)]))
    const all = parts.length === 0 ? [[]] : parts
    return shareWork(processes, all, make).map((batch, i) => ({ ...batch, report: i === 0 ? report : nothing }))
  })
