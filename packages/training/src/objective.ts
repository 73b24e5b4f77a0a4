import type { Tensor1D } from "@plumbline/runtime"

/** What a sum is divided by: "token", "sequence", "pair", or any name the objective counts. */
export type Unit = string

/** Contributions to a loss or metric, before normalization. */
export interface UnitSum {
  readonly unit: Unit
  /** [U] float32: one contribution for each of the micro-batch's units of data (rows or pairs), in their order. */
  readonly values: Tensor1D
  /** A metric that is no mean but the least or the greatest contribution of the global batch. */
  readonly extreme?: "least" | "greatest"
}

/**
 * What a micro-batch contributes to the step.
 *
 * Everything is a sum, never a mean: the engine divides by the unit's count over the whole global batch, so a
 * step does not depend on how it was split. Terms with different units keep their own denominators.
 */
export interface LossSums {
  /** The loss is Σ over terms of weight · Σ values / count(unit). */
  readonly terms: ReadonlyArray<WeightedSum>
  /** A metric is one mean, or a weighted sum of several; it is left out where the global batch has none of a unit. */
  readonly metrics: Readonly<Record<string, UnitSum | ReadonlyArray<WeightedSum>>>
  /** Whatever `afterStep` wants to see of the step, in any unit: read together with the rest. */
  readonly observed?: Readonly<Record<string, Tensor1D>>
}

/** What a micro-batch's loss showed of itself, on the host. */
export type Observed = Readonly<Record<string, Float32Array>>

export interface WeightedSum extends UnitSum {
  /** 1 when absent. */
  readonly weight?: number
}

/** Host data of a micro-batch. */
export interface MicroBatch {
  /** Tokens in its rows, padding excluded. */
  readonly tokens: number
  /** [U] where each unit of data came from, e.g. "train.jsonl:17": failures name it. Empty where there is only something to report. */
  readonly origins: ReadonlyArray<string>
}

/** Numbers that a run carries from step to step beside its weights: plain data, saved with every checkpoint. */
export type Memory = Readonly<Record<string, number>>

/**
 * How the rows of a global batch depend on one another, in a loss that is not a sum over them: it sorts them, or takes
 * the mean of all. Before the step every micro-batch is measured; then each is told what it must know of the others.
 * So such a loss, too, does not depend on how the batch was split.
 *
 * `Part` and `Shared` are host data: neither carries a gradient.
 */
export interface Coupling<in Models, in Batch, Part, Shared> {
  /** What a micro-batch tells the others; outside the gradient tape. */
  readonly measure: (models: Models, batch: Batch) => Part
  /** What each micro-batch is told, in their order. */
  readonly share: (parts: ReadonlyArray<Part>, memory: Memory) => ReadonlyArray<Shared>
  /** What is remembered from this training step on, by its own `share` already; evaluations remember nothing. */
  readonly remember?: (parts: ReadonlyArray<Part>, memory: Memory) => Memory
}

/** A differentiable loss. Synchronous and free of Effect: it runs under the tfjs gradient tape. */
export interface Objective<in Models, in Batch extends MicroBatch> {
  /** Units in the batch, by name, read from host data before any forward pass. */
  readonly counts: (batch: Batch) => Readonly<Record<Unit, number>>
  /** @param shared what `coupling` tells this micro-batch; nothing where the objective has none */
  readonly loss: (models: Models, batch: Batch, shared?: unknown) => LossSums
  /** Declared where rows of the global batch depend on one another. Made by `coupledObjective`. */
  readonly coupling?: Coupling<Models, Batch, unknown, unknown>
}

/** An objective whose loss needs to know of the whole global batch. */
export interface CoupledObjective<Models, Batch extends MicroBatch, Part, Shared> {
  readonly counts: Objective<Models, Batch>["counts"]
  readonly coupling: Coupling<Models, Batch, Part, Shared>
  readonly loss: (models: Models, batch: Batch, shared: Shared) => LossSums
}

/** The objective as the loop sees it, which does not know what is measured and shared. */
export const coupledObjective = <Models, Batch extends MicroBatch, Part, Shared>(
  objective: CoupledObjective<Models, Batch, Part, Shared>
): Objective<Models, Batch> => objective as unknown as Objective<Models, Batch>
