import type { ProcessesShape } from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"
import type { Memory, MicroBatch, Objective } from "./objective.ts"
import type { Turn } from "./processes/own-share.ts"

interface Sharing<B> {
  readonly processes: ProcessesShape
  /** The micro-batches that this one computes. */
  readonly turns: ReadonlyArray<Turn<B>>
}

/** What each micro-batch is told of the others, and what there is to remember. */
export const couple = <M extends Trainable, B extends MicroBatch>(
  { coupling }: Objective<M, B>,
  models: M,
  microBatches: ReadonlyArray<B>,
  before: Memory,
  training: boolean,
  { processes, turns }: Sharing<B>
): { readonly shared: ReadonlyArray<unknown>; readonly memory: Memory } => {
  if (coupling === undefined) return { shared: [], memory: before }
  const own = new Map<B, { readonly part: unknown }>()
  for (const { isOwn, part: batch } of turns) {
    const part = coupling.measure(models, batch)
    if (isOwn) own.set(batch, { part })
  }
  const measured = microBatches.map((batch) => own.get(batch))
  const everyone = processes.exchange(measured)
  const parts = microBatches.map((_, i) => everyone.find((each) => each[i] !== undefined)![i]!.part)
  const memory = training ? (coupling.remember?.(parts, before) ?? before) : before
  return { shared: coupling.share(parts, memory), memory }
}
