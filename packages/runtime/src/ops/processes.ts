import { fused, JOIN_PARTS, OWN_PART, SETTLE_SUMS, SUM_OVER_PROCESSES, SUM_PART } from "../kernels/names.ts"
import { type Tensor, type Tensor1D, tf, type Variable } from "../tf.ts"

// What a process does with tensors that others have, too. All call it together, for tensors of the same shapes in the same order.

/** All processes' x added up, in float32. */
export const sumOverProcesses = <T extends Tensor>(x: T): T => fused<T>(SUM_OVER_PROCESSES, { x })

/**
 * Begins this process's part of such a sum, which a device makes beside other work: nothing may read the part before
 * `settleSums`. Numbers travel as activations are stored, and are added up in float32 in the processes' order.
 *
 * @param x of a size that the number of processes divides
 * @returns [size / processes], of the numbers in the order of their axes
 */
export const sumPart = (x: Tensor): Tensor1D => fused(SUM_PART, { x })

/** Lets what follows read the parts of sums. */
export const settleSums = (): void => void fused<Array<Tensor>>(SETTLE_SUMS, [])

/** A copy of the same part of a tensor that is the same everywhere. */
export const ownPart = (x: Tensor, rank: number, processes: number): Tensor1D =>
  fused(OWN_PART, { x }, { rank, processes })

/** Gives a variable the values of all processes' parts. */
export const joinParts = (whole: Variable, part: Tensor1D): void =>
  tf.tidy(() => {
    const written = fused<Tensor>(JOIN_PARTS, { part, whole })
    if (written.dataId !== whole.dataId) whole.assign(written)
  })
