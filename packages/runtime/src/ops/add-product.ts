import { ADD_PRODUCT, fused, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { linear } from "./linear.ts"

/**
 * sum + scale·x·Wᵀ, in one pass over the sum where the backend can. The caller gives the sum's values up: unless another
 * tensor shares them, the result may lie in their place.
 *
 * @param sum    [N, O] float32, such as a product that nothing else reads
 * @param x      [N, I] float32
 * @param weight [O, I] float32
 * @returns      [N, O] float32
 */
export const addProduct = (sum: Tensor2D, x: Tensor2D, weight: Tensor2D, scale: number): Tensor2D =>
  hasKernel(ADD_PRODUCT)
    ? fused<Tensor2D>(ADD_PRODUCT, { sum, x, weight }, { scale })
    : tf.tidy(() => tf.add(sum, linear(scale === 1 ? x : tf.mul(x, scale), weight)))
