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

/** What a backend that has the kernel says of a call. */
interface Fuses {
  readonly fusesGatedMlp: (tokens: number, width: number, mlpWidth: number, withSlopes: boolean) => boolean
}

/** Whether the backend has kernels for such a call. @param shape [N, D, F] */
export const fusesGatedMlp = (shape: readonly [number, number, number]): boolean =>
  hasKernel(GATED_MLP) && (tf.backend() as unknown as Fuses).fusesGatedMlp(...shape, tf.engine().isTapeOn())

/**
 * W_down(act(W_gate·x) · W_up·x), in kernels that make the activation, and its gradient, of a product's sums before these go to
 * memory; for calls that `fusesGatedMlp`.
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
