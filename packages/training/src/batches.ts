import { type BatchSampler, splitByCount, splitByTokens } from "@plumbline/data"
import { Stream } from "effect"

/** One thing the data is made of: a row, or a pair of rows that stay together. */
export interface DataUnit {
  /** Tokens of all its rows. */
  readonly tokens: number
  /** Where it came from, e.g. "train.jsonl:17". */
  readonly origin: string
}

/** How a global batch is split; no choice changes the step. */
export type MicroBatching = ({ readonly count: number } | { readonly tokens: number }) & {
  /** As many processes share a batch, and each is to have a part of it; 1 when absent. */
  readonly processes?: number
}

/**
 * Global batches of `units` from the step after `position` on, endlessly, in the sampler's order.
 *
 * The units of a step are a pure function of the sampler and the step, so a resumed run goes on exactly.
 */
export const globalBatches = <U extends DataUnit>(
  units: ReadonlyArray<U>,
  sampler: BatchSampler,
  position: number
): Stream.Stream<ReadonlyArray<U>> =>
  Stream.iterate(position, (step) => step + 1).pipe(
    Stream.map((step) => Array.from(sampler.indices(step), (index) => units[index]!))
  )

/** The same, each split into micro-batches. */
export const unitBatches = <U extends DataUnit>(
  units: ReadonlyArray<U>,
  sampler: BatchSampler,
  split: MicroBatching,
  position: number
): Stream.Stream<ReadonlyArray<ReadonlyArray<U>>> =>
  globalBatches(units, sampler, position).pipe(Stream.map((globalBatch) => splitUnits(globalBatch, split)))

/** Units in micro-batches of a number of units, or of at most a number of tokens. */
export const splitUnits = <U extends DataUnit>(
  units: ReadonlyArray<U>,
  split: MicroBatching
): ReadonlyArray<ReadonlyArray<U>> =>
  equalShares(units, split.processes ?? 1).flatMap((share) => splitShare(share, split))

const splitShare = <U extends DataUnit>(
  units: ReadonlyArray<U>,
  split: MicroBatching
): ReadonlyArray<ReadonlyArray<U>> =>
  "count" in split
    ? splitByCount(units, split.count)
    : splitByTokens(units, { tokens: (unit) => unit.tokens, budget: split.tokens })

/** In their order, numbers of units that differ by one at most; none is empty. */
const equalShares = <U>(units: ReadonlyArray<U>, shares: number): ReadonlyArray<ReadonlyArray<U>> =>
  Array.from({ length: shares }, (_, i) =>
    units.slice(Math.floor((i * units.length) / shares), Math.floor(((i + 1) * units.length) / shares))
  ).filter(({ length }) => length > 0)
