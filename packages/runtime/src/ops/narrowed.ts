import { fused, hasKernel, NARROW } from "../kernels/names.ts"
import { tf, type Tensor } from "../tf.ts"

/**
 * A tensor of its own with the numbers of x as the backend stores activations: half the memory in bfloat16, and what
 * products would round x to anyway. For weights that nothing trains; no gradient flows through it.
 */
export const narrowed = <T extends Tensor>(x: T): T =>
  hasKernel(NARROW) ? fused<T & Tensor>(NARROW, { x }) : (tf.clone(x) as T)
