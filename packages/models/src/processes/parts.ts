import { ownPart, type ProcessesShape, tf, type Tensor, type Variable } from "@plumbline/runtime"

/** A tensor this small costs more to divide than to keep whole everywhere. */
const SMALLEST = 2 ** 16

/**
 * Whether processes each keep one part of a parameter's gradient and moments, and update that part of it.
 *
 * @see Rajbhandari et al. 2020, ZeRO, stages 1 and 2, https://arxiv.org/abs/1910.02054
 */
export const isDivided = (size: number, processes: number): boolean =>
  processes > 1 && size >= SMALLEST && size % processes === 0

/** Whether they also hold no more than a part of it where the run is fully sharded: matrices that are divided. */
export const isSharded = (shape: ReadonlyArray<number>, { sharding, size }: ProcessesShape): boolean =>
  sharding === "full" && shape.length === 2 && isDivided(shape[0]! * shape[1]!, size)

/** Of a whole's values those that a tensor of this process is of: all, or its part. */
export const ownValues = (
  whole: Float32Array,
  { size }: Tensor,
  { rank }: Pick<ProcessesShape, "rank">
): Float32Array => (whole.length === size ? whole : whole.subarray(rank * size, (rank + 1) * size))

/** This process's part of a tensor, a copy of its own. */
export const ownVariable = (tensor: Tensor, { rank, size }: ProcessesShape): Variable =>
  tf.tidy(() => tf.variable(ownPart(tensor, rank, size), false))
