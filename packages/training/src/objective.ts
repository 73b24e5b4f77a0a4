import type { Tensor1D } from "@plumbline/runtime"

/** What a sum is divided by: "token", "sequence", "pair", or any name the objective counts. */
export type Unit = string

/** Contributions to a loss or metric, before normalization. */
export interface UnitSum {
  readonly unit: Unit
  /** [U] float32: one contribution for each of the micro-batch's units of data (rows or pairs), in their order. */
  readonly values: Tensor1D
}

/**
 * What a micro-batch contributes to the step.
 *
 * Everything is a sum, never a mean: the engine divides by the unit's count over the whole global batch, so a
 * step does not depend on how it was split. Terms with different units keep their own denominators.
 */
export interface LossSums {
  /** The loss is Σ over terms of weight · Σ values / count(unit). */
  readonly terms: ReadonlyArray<UnitSum & { readonly weight?: number }>
  readonly metrics: Readonly<Record<string, UnitSum>>
}

/** Host data of a micro-batch. */
export interface MicroBatch {
  /** Tokens in its rows, padding excluded. */
  readonly tokens: number
  /** [U] where each unit of data came from, e.g. "train.jsonl:17": failures name it. */
  readonly origins: ReadonlyArray<string>
}

/** A differentiable loss. Synchronous and free of Effect: it runs under the tfjs gradient tape. */
export interface Objective<in Models, in Batch extends MicroBatch> {
  /** Units in the batch, by name, read from host data before any forward pass. */
  readonly counts: (batch: Batch) => Readonly<Record<Unit, number>>
  readonly loss: (models: Models, batch: Batch) => LossSums
}
