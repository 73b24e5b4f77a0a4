import type { Tensor1D } from "@plumbline/runtime"
import type { Memory } from "@plumbline/training"

/** What an unpaired loss sees of R responses. Sums run over the scored tokens of a response. */
export interface JudgedLogProbs {
  /** [R] float32, nats: log π − log π_ref */
  readonly logRatios: Tensor1D
  /** [R] float32, 1 = desirable, 0 = not */
  readonly desirable: Tensor1D
  /** The loss's baseline over the global batch, without a gradient. */
  readonly baseline: number
}

/** A number of the whole global batch that a loss compares every response with. It carries no gradient. */
export interface Baseline {
  /** Its name among the metrics. */
  readonly metric: string
  /**
   * Whose log-ratios it is made of: the responses' own, or those of each prompt with the response to another
   * prompt of the global batch.
   */
  readonly over: "nothing" | "responses" | "mismatched"
  /** @param logRatios [R] nats, of the global batch; empty where it is over nothing */
  readonly of: (logRatios: Float32Array, memory: Memory) => number
  /** What is kept from this training step on, which `of` is given already; nothing when absent. */
  readonly remember?: (logRatios: Float32Array, memory: Memory) => Memory
}

/**
 * A loss on responses judged one by one: a value, made by a constructor with its options.
 *
 * The objective around it takes the mean over the responses of the global batch.
 */
export interface UnpairedLoss {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly options: unknown
  /** Scale of the implicit rewards in the metrics: β·(log π − log π_ref). */
  readonly beta: number
  readonly baseline: Baseline
  /** [R] float32, one loss a response. */
  readonly perResponse: (responses: JudgedLogProbs) => Tensor1D
}
