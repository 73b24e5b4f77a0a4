import type { CausalLM, Model } from "@plumbline/models"
import type { Effect, Stream } from "effect"
import type { MicroBatch, Objective, Observed } from "./objective.ts"
import type { StepMetrics } from "./sinks/metric-sink.ts"

/** The models whose variables a step updates, by role. */
export type Trainable = Readonly<Record<string, Model>>

/** Data of a held-out pass: the micro-batches of one evaluation. */
export type HeldOut<Batch> = ReadonlyArray<Batch>

/** What the models as they are do with held-out data: metrics, named as those of a step. */
export type Evaluation<E, R> = Effect.Effect<StepMetrics, E, R>

/** What a metric of a run's first step must be, as long as nothing was learnt. */
export interface Expected {
  readonly value: number
  /** How much the metric moves where a response's log-ratio of policy and reference is a nat off: what rounding may do to it. */
  readonly perNat: number
}

/** What the loss of each micro-batch showed of itself, in their order. */
export interface StepSeen {
  readonly observed: ReadonlyArray<Observed>
}

/** Host data of an algorithm that must be in a checkpoint for a resumed run to go on exactly. */
export interface Attachment<E, R> {
  /** Writes into the folder of a checkpoint that is being made. */
  readonly save: (folder: string) => Effect.Effect<void, E, R>
  /** What the other processes of a run do while the first one saves: what of its work needs them; nothing when absent. */
  readonly assist?: Effect.Effect<void, E, R>
  /** Reads it from there, before the first step of a run that goes on. */
  readonly restore: (folder: string) => Effect.Effect<void, E, R>
}

/**
 * An alignment algorithm is where its experience comes from, plus the loss on it.
 *
 * `R` is every service the algorithm needs. A recipe that forgets one does not compile.
 */
export interface Algorithm<Models extends Trainable, Batch extends MicroBatch, E = never, R = never> {
  readonly name: string
  /** Plain data, recorded with the run. */
  readonly config: unknown
  readonly trainable: Effect.Effect<Models, E, R>
  /**
   * The model whose tokens' log-probs the loss compares with those that its sampler gave, so that both should be computed
   * alike: batch-invariant kernels are taken for the run where nobody said otherwise. None when absent.
   */
  readonly sampledFrom?: (models: Models) => CausalLM
  /**
   * Metrics of a first step that are known before anything was learnt, such as ln 2 for DPO's loss where the reference is
   * the policy as it begins. None when absent.
   */
  readonly atFirst?: Readonly<Record<string, Expected>>
  /** Steps that are made on what is written or read at one time; 1 when absent. */
  readonly stepsPerExperience?: number
  /** Steps in one pass over the data. */
  readonly stepsPerEpoch: Effect.Effect<number, E, R>
  /**
   * Global batches from the step after `position` on; one element holds the micro-batches of one optimizer
   * step. Where none of them has a unit, there is nothing to learn at it, and no weight changes. A pure function of the
   * position and the models' weights, so a resumed run sees what it would have seen.
   *
   * @param end the last step of the run: nothing after it is asked for
   */
  readonly experience: (position: number, end: number) => Stream.Stream<ReadonlyArray<Batch>, E, R>
  /** Held-out data, when the run has any; made again before each evaluation where models are `carried`. */
  readonly heldOut?: Effect.Effect<HeldOut<Batch>, E, R>
  /**
   * How held-out data are looked at, where their loss does not say it, or not all: rewards of what the policy answers, say.
   * Asked once, before the first step; undefined where there are none.
   */
  readonly evaluation?: Effect.Effect<Evaluation<E, R> | undefined, E, R>
  /** Fails where data or options do not fit the algorithm. Asked before anything is written. */
  readonly check?: Effect.Effect<void, E, R>
  /** Models that steps move without training them, by role, such as a reference that follows: saved and restored too. */
  readonly carried?: Effect.Effect<Trainable, E, R>
  /** Called once a step was applied, before its evaluation and checkpoint. What it returns joins the step's metrics. */
  readonly afterStep?: (step: number, models: Models, seen: StepSeen) => Effect.Effect<StepMetrics | void, E, R>
  /** What goes with every checkpoint beside models, such as rollouts that are not used up. */
  readonly attachment?: Attachment<E, R>
  readonly objective: Objective<Models, Batch>
}
