import type { Trainable } from "./algorithm.ts"
import type { Memory, MicroBatch, Objective } from "./objective.ts"

/** What each micro-batch is told of the others, and what there is to remember. */
export const couple = <M extends Trainable, B extends MicroBatch>(
  { coupling }: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  before: Memory,
  training: boolean
): { readonly shared: ReadonlyArray<unknown>; readonly memory: Memory } => {
  if (coupling === undefined) return { shared: [], memory: before }
  const parts = microBatches.map((batch) => coupling.measure(models, batch))
  const memory = training ? (coupling.remember?.(parts, before) ?? before) : before
  return { shared: coupling.share(parts, memory), memory }
}
