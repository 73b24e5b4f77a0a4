import { fused, GATED_MLP, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor2D } from "../tf.ts"
import type { GateFunction } from "./activation.ts"

/** The weights of a gated MLP without biases. */
export interface GatedMlpWeights {
  /** [F, D] float32 */
  readonly gate: Tensor2D
  /** [F, D] float32 */
  readonly up: Tensor2D
  /** [D, F] float32 */
  readonly down: Tensor2D
}

/** Numbers of the activation from which on its products are worth kernels of their own. */
const MANY = 2 ** 23

/** Whether the backend has a kernel for this. @param shape [N, D, F] */
export const fusesGatedMlp = ([tokens, width, mlpWidth]: readonly [number, number, number]): boolean =>
  tokens * mlpWidth >= MANY && mlpWidth % 256 === 0 && width % 8 === 0 && hasKernel(GATED_MLP)

/**
 * W_down(act(W_gate·x) · W_up·x), in kernels that make the activation, and its gradient, of a product's sums before these go to
 * memory; for shapes that `fusesGatedMlp`.
 *
 * @param x [N, D] float32
 * @returns [N, D] float32
 * @see Shazeer 2020, https://arxiv.org/abs/2002.05202
 */
export const gatedMlp = (x: Tensor2D, { down, gate, up }: GatedMlpWeights, activation: GateFunction): Tensor2D => {
  // without the tape nobody will ask for the gradient
  const withSlopes = tf.engine().isTapeOn()
  const [y, ...kept] = fused<Array<Tensor>>(GATED_MLP, { x, gate, up, down }, { activation, withSlopes })
  tf.dispose(kept)
  return y as Tensor2D
}
