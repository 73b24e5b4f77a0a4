import type { ProcessesShape } from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"
import type { Memory, MicroBatch, Objective } from "./objective.ts"

interface Sharing<B> {
  readonly processes: ProcessesShape
  /** The micro-batches that this one computes. */
  readonly own: ReadonlyArray<B>
}

/** What each micro-batch is told of the others, and what there is to remember. */
export const couple = <M extends Trainable, B extends MicroBatch>(
  { coupling }: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  before: Memory,
  training: boolean,
  { own, processes }: Sharing<B>
): { readonly shared: ReadonlyArray<unknown>; readonly memory: Memory } => {
  if (coupling === undefined) return { shared: [], memory: before }
  const measured = microBatches.map((batch) =>
    own.includes(batch) ? { part: coupling.measure(models, batch) } : undefined
  )
  const everyone = processes.exchange(measured)
  const parts = microBatches.map((_, i) => everyone.find((each) => each[i] !== undefined)![i]!.part)
  const memory = training ? (coupling.remember?.(parts, before) ?? before) : before
  return { shared: coupling.share(parts, memory), memory }
}
