import { philoxStream } from "@plumbline/runtime"
import { TooFewRows } from "./errors.ts"

export interface SamplerOptions {
  /** Rows (or pairs) of the dataset. */
  readonly rows: number
  /** Rows of one optimizer step. */
  readonly batchSize: number
  readonly seed: number
  /** false keeps the order of the file in every epoch. */
  readonly shuffle: boolean
}

/** Which rows each optimizer step reads: a pure function of the step, so a resumed run needs to store nothing else. */
export interface BatchSampler {
  /** Whole batches of an epoch; the rows left over are dropped, others the next epoch when shuffled. */
  readonly stepsPerEpoch: number
  /** @param step counts from 0 over the whole run; @returns [batchSize] int32 row numbers */
  readonly indices: (step: number) => Int32Array
}

/**
 * Order of the rows in an epoch.
 *
 * Shuffled by Fisher-Yates on the stream `data/epoch-N` of the run's seed, so epochs are independent and
 * any of them can be had without those before it.
 *
 * @param epoch counts from 0
 * @returns     [rows] int32, a permutation
 */
export const epochOrder = (rows: number, epoch: number, seed: number, shuffle: boolean): Int32Array => {
  const order = Int32Array.from({ length: rows }, (_, row) => row)
  if (!shuffle) return order
  const { uniform } = philoxStream(seed, `data/epoch-${epoch}`)
  for (let last = rows - 1; last > 0; last--) {
    const other = Math.floor(uniform(last) * (last + 1))
    const row = order[last]!
    order[last] = order[other]!
    order[other] = row
  }
  return order
}

/** @throws TooFewRows where the rows do not fill one batch */
export const batchSampler = ({ rows, batchSize, seed, shuffle }: SamplerOptions): BatchSampler => {
  const stepsPerEpoch = Math.floor(rows / batchSize)
  if (stepsPerEpoch === 0) throw new TooFewRows({ rows, batchSize })
  let cached: { readonly epoch: number; readonly order: Int32Array } = { epoch: -1, order: new Int32Array(0) }
  const indices = (step: number): Int32Array => {
    const epoch = Math.floor(step / stepsPerEpoch)
    if (cached.epoch !== epoch) cached = { epoch, order: epochOrder(rows, epoch, seed, shuffle) }
    const first = (step - epoch * stepsPerEpoch) * batchSize
    return cached.order.slice(first, first + batchSize)
  }
  return { stepsPerEpoch, indices }
}
