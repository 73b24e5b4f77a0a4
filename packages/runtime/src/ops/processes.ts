import {
  AWAIT_GATHERS,
  fused,
  GATHER_PARTS,
  JOIN_PARTS,
  OWN_PART,
  RELEASE_VALUES,
  SETTLE_SUMS,
  SUM_OVER_PROCESSES,
  SUM_PART,
  WITHOUT_VALUES
} from "../kernels/names.ts"
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

/** A tensor whose values come and go, and are not there: it takes next to no memory, and what reads it is NaN. */
export const withoutValues = (shape: ReadonlyArray<number>): Tensor => fused(WITHOUT_VALUES, {}, { shape: [...shape] })

/**
 * Begins to gather all processes' parts of tensors without values, as products read them; on a device beside other work: nothing
 * may read them before `awaitGathers`. Whatever shares such a tensor's values has them, too: what a tape has saved of it.
 *
 * @param parts  [size / processes] each
 * @param wholes in the order of the parts; those that lie side by side here do so in memory
 */
export const gatherParts = (parts: ReadonlyArray<Tensor>, wholes: ReadonlyArray<Tensor>): void =>
  void fused<Array<Tensor>>(GATHER_PARTS, [...parts, ...wholes])

/** Lets what follows read what was gathered. */
export const awaitGathers = (): void => void fused<Array<Tensor>>(AWAIT_GATHERS, [])

/** Frees the values of what was gathered, for whatever shares them, too. */
export const releaseValues = (wholes: ReadonlyArray<Tensor>): void =>
  void fused<Array<Tensor>>(RELEASE_VALUES, [...wholes])
