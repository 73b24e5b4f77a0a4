import {
  alone,
  normOf,
  type ProcessesShape,
  readLater,
  type TakeGradient,
  takeGradients,
  tf,
  type NamedTensorMap,
  type Tensor1D,
  type Variable
} from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"
import type { Balance } from "./balance.ts"
import { couple } from "./couple.ts"
import { joined } from "./joined.ts"
import { checkedSums, invalid } from "./objective-check.ts"
import type { LossSums, Memory, MicroBatch, Objective, Observed, Unit, WeightedSum } from "./objective.ts"
import { dealt, type Turn } from "./processes/own-share.ts"
import { gradientSum, ownNormParts } from "./processes/gradient-sum.ts"
import { countOf, LOSS, metricsOf, type MicroBatchRecord, observedOf } from "./step-metrics.ts"

/** What a step came to. */
export interface StepNumbers {
  /** Means over the global batch: `loss`, `grad_norm` and the objective's own. */
  readonly metrics: Readonly<Record<string, number>>
  /** Origins of the data whose loss is not finite. */
  readonly brokenOrigins: ReadonlyArray<string>
  /** What the next step is to remember. */
  readonly memory: Memory
  /** What each micro-batch's loss showed, in their order. */
  readonly observed: ReadonlyArray<Observed>
}

export interface StepResult extends StepNumbers {
  /** By variable name, as `gradientSum` leaves them; the caller disposes. */
  readonly gradients: NamedTensorMap
}

/** A step whose gradients the device may still be at work on. */
export interface BegunStep extends Pick<StepResult, "gradients"> {
  /** Waits for what the step came to, once. Where several processes share it, all call this. @throws ObjectiveInvalid */
  readonly read: () => StepNumbers
}

/** What a step is made with besides its data. */
export interface StepSetting<M extends Trainable> {
  /** What the step before it left to remember. */
  readonly memory?: Memory
  /** Of the models' experts, where they are mixtures. */
  readonly balance?: Balance<M> | undefined
  /** Those that share the step. Each is given the whole global batch, and computes its share. */
  readonly processes?: ProcessesShape
}

/**
 * Loss and gradients of one global batch. The result does not depend on how it is split into micro-batches, or over
 * processes. A micro-batch without units only reports; where none has any, there is no loss and no gradient.
 */
export const accumulate = <M extends Trainable, B extends MicroBatch>(
  objective: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  setting: StepSetting<M> = {}
): StepResult => {
  const { gradients, read } = beginStep(objective, models, microBatches, setting)
  try {
    return { gradients, ...read() }
  } catch (cause) {
    tf.dispose(gradients)
    throw cause
  }
}

/** The same, before it waits for the device. */
export const beginStep = <M extends Trainable, B extends MicroBatch>(
  objective: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  { balance, memory: before = {}, processes = alone }: StepSetting<M> = {}
): BegunStep => {
  const counted = totalCounts(objective, microBatches)
  const counts = balance?.counted(counted) ?? counted
  const { ordered, own, turns } = dealt(microBatches, processes)
  const learnt = microBatches.filter(hasUnits)
  const [learning, reporting] = [turns(hasUnits), turns((batch) => !hasUnits(batch))]
  const { memory, shared } = couple(objective, models, learnt, before, true, { turns: learning, processes })
  const lossOf = (batch: B) => () =>
    checkedSums(objective.loss(balance?.models ?? models, batch, shared[learnt.indexOf(batch)]), hasUnits(batch))
  const variables = Object.values(models).flatMap((model) => [...model.variables])
  const sum = gradientSum(variables, processes)
  try {
    const passes = learning.map(({ isOwn, part }) => ({ isOwn, loss: lossOf(part) }))
    if (learnt.length > 1) balance?.measure(passes, processes)
    return withRecords((records) => {
      for (const [i, turn] of learning.entries()) {
        const pass = passes[i]!
        const loss = () => balance?.loss(pass, turn.part.origins.length) ?? pass.loss()
        backward(loss, turn, counts, variables, sum.take(turn === learning.at(-1)), records)
        sum.endTurn()
      }
      for (const turn of reporting) keepRecord(records, turn, recordOf(turn.part, lossOf(turn.part)))
      const learns = learnt.length > 0
      const summed = learns ? sum.finish() : {}
      const norm = learns ? ownNormParts(summed, variables, processes) : undefined
      const together = readTogether(inOwnOrder(own, records), norm, ordered, processes)
      const read = () => {
        const { norms, records: all, values } = together()
        const { brokenOrigins, metrics } = metricsOf(all, values, counts)
        const gradNorm = learns ? { grad_norm: normOf(norms) } : {}
        return { metrics: { ...metrics, ...gradNorm }, brokenOrigins, observed: observedOf(all, values), memory }
      }
      return { gradients: summed, read }
    })
  } catch (cause) {
    sum.dispose()
    throw cause
  } finally {
    balance?.end()
    for (const { shards } of Object.values(models)) shards?.rest()
  }
}

type Records = Map<MicroBatch, MicroBatchRecord>

/** Keeps what a micro-batch came to, where it is the process's own. */
const keepRecord = (records: Records, { isOwn, part }: Turn<MicroBatch>, found: MicroBatchRecord): void => {
  if (isOwn) records.set(part, found)
  else found.values.dispose()
}

const inOwnOrder = (own: ReadonlyArray<MicroBatch>, records: Records): ReadonlyArray<MicroBatchRecord> =>
  own.map((batch) => records.get(batch)!)

/**
 * Queues the read of what this process's micro-batches and the norm of its gradients came to.
 *
 * @returns waits for it, and for everyone's, in the micro-batches' order
 */
const readTogether = (
  records: ReadonlyArray<MicroBatchRecord>,
  norm: Tensor1D | undefined,
  ordered: <A>(byProcess: ReadonlyArray<ReadonlyArray<A>>) => ReadonlyArray<A>,
  { exchange }: ProcessesShape
) => {
  const read = readOnce([...(norm === undefined ? [] : [norm]), ...records.map(({ values }) => values)])
  return () => {
    const all = read()
    let offset = norm?.size ?? 0
    const own = records.map(({ layout, observed, origins, values: { size } }) => {
      const values = all.subarray(offset, (offset += size))
      return { layout, observed, origins, values }
    })
    const everyone = exchange({ norm: all.subarray(0, norm?.size ?? 0), own })
    const inTurn = ordered(everyone.map((each) => each.own))
    return {
      norms: joined(everyone.map((each) => each.norm)),
      records: inTurn,
      values: joined(inTurn.map(({ values }) => values))
    }
  }
}

const hasUnits = ({ origins }: MicroBatch): boolean => origins.length > 0

/** Loss and metrics of held-out micro-batches; no gradients. */
export const evaluate = <M extends Trainable, B extends MicroBatch>(
  objective: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  { memory = {}, processes = alone }: Omit<StepSetting<M>, "balance"> = {}
): Omit<StepNumbers, "memory" | "observed"> => {
  const { ordered, own, turns } = dealt(microBatches, processes)
  const { shared } = couple(objective, models, microBatches, memory, false, { turns: turns(), processes })
  return withRecords((records) => {
    for (const turn of turns()) {
      const batch = turn.part
      const loss = () => objective.loss(models, batch, shared[microBatches.indexOf(batch)])
      keepRecord(records, turn, recordOf(batch, loss))
    }
    const read = readTogether(inOwnOrder(own, records), undefined, ordered, processes)()
    return metricsOf(read.records, read.values, totalCounts(objective, microBatches))
  })
}

/** Whatever tensors `body` makes are freed but the gradients it returns, the records too, also where it throws. */
const withRecords = <R extends BegunStep | Pick<StepNumbers, "metrics">>(body: (records: Records) => R): R => {
  const records: Records = new Map()
  let result: R | undefined
  try {
    tf.tidy(() => {
      result = body(records)
      return "gradients" in result ? result.gradients : {}
    })
    return result!
  } finally {
    for (const { values } of records.values()) values.dispose()
  }
}

const totalCounts = <M, B extends MicroBatch>(objective: Objective<M, B>, microBatches: ReadonlyArray<B>) => {
  const totals: Record<Unit, number> = {}
  for (const batch of microBatches) {
    for (const [unit, count] of Object.entries(objective.counts(batch))) totals[unit] = (totals[unit] ?? 0) + count
  }
  return totals
}

/** Gives `take` the gradients of one micro-batch's share of the loss; zeros where it is not the process's own. */
const backward = (
  loss: () => LossSums,
  turn: Turn<MicroBatch>,
  counts: Readonly<Record<Unit, number>>,
  variables: ReadonlyArray<Variable>,
  take: TakeGradient,
  records: Records
): void => {
  if (variables.length === 0) throw invalid("the models that are trained have no weight that may move")
  let reaches = false
  const value = takeGradients(
    () => {
      const sums = loss()
      keepRecord(records, turn, record(turn.part, flatten(sums)))
      const terms = sums.terms.map(({ unit, values, weight = 1 }) =>
        // a unit that the batch has none of adds nothing
        tf.mul(tf.sum(values), turn.isOwn ? weight / Math.max(1, countOf(counts, unit)) : 0)
      )
      return terms.reduce((total, term) => tf.add(total, term)).asScalar()
    },
    variables,
    (variable, gradient) => {
      reaches = true
      take(variable, gradient)
    }
  )
  value.dispose()
  if (!reaches) throw invalid("its loss does not depend on any weight of the trained models")
}

const entries = (sums: LossSums): ReadonlyArray<readonly [string, WeightedSum]> => [
  ...sums.terms.map((term) => [LOSS, term] as const),
  ...Object.entries(sums.metrics).flatMap(([name, metric]) =>
    [metric].flat().map((part: WeightedSum) => [name, part] as const)
  )
]

const flatten = (sums: LossSums) => {
  const observed = Object.entries(sums.observed ?? {})
  const values = [...entries(sums).map(([, { values }]) => values), ...observed.map(([, values]) => values)]
  return {
    layout: entries(sums).map(([name, { extreme, unit, values, weight = 1 }]) => ({
      name,
      unit,
      weight,
      size: values.size,
      extreme
    })),
    observed: observed.map(([name, { size }]) => ({ name, size })),
    values: tf.keep(tf.concat(values) as Tensor1D)
  }
}

const record = (batch: MicroBatch, flat: Omit<MicroBatchRecord, "origins">): MicroBatchRecord => ({
  origins: batch.origins,
  ...flat
})

/** A micro-batch's loss without its gradient. */
const recordOf = (batch: MicroBatch, loss: () => LossSums): MicroBatchRecord =>
  record(
    batch,
    tf.tidy(() => flatten(loss()))
  )

/** Queues the one host read of a step, of all tensors, and frees them. @returns their values end to end, for which it waits */
const readOnce = (tensors: ReadonlyArray<Tensor1D>): (() => Float32Array) => {
  if (tensors.length === 0) return () => new Float32Array(0)
  const all = tf.concat([...tensors])
  const read = readLater([all])
  tf.dispose([all, ...tensors])
  return () => read()[0] as Float32Array
}
