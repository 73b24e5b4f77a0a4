import type { Tensor } from "../tf.ts"
import type { Op } from "./tensors.ts"

/** An operation that a backend may fuse. */
export interface FusedCase {
  readonly title: string
  /** Name of the kernel that a backend may have. */
  readonly kernel: string
  /** The first inputs that are activations, which a backend may store in fewer bits; the others are weights. */
  readonly activations: number
  readonly inputs: () => ReadonlyArray<Tensor>
  readonly op: Op
  readonly composed: Op
}
