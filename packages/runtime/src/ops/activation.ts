import { fused, GATED_ACTIVATION, hasKernel, SQUARED_RELU } from "../kernels/names.ts"
import { tf, type Tensor2D } from "../tf.ts"

export type GateFunction = "silu" | "gelu" | "gelu_tanh"

/**
 * act(gate) · up.
 *
 * @param remade whether the backward pass makes the result again where it reads it, in place of keeping it
 * @param gate [N, F] float32
 * @param up   [N, F] float32
 * @returns    [N, F] float32
 * @see Shazeer 2020, https://arxiv.org/abs/2002.05202
 */
export const gatedActivation = (gate: Tensor2D, up: Tensor2D, activation: GateFunction, remade = false): Tensor2D =>
  hasKernel(GATED_ACTIVATION)
    ? fused(GATED_ACTIVATION, { gate, up }, { activation, remade })
    : tf.tidy(() => tf.mul(composedActivations[activation](gate), up))

export const composedActivations: Readonly<Record<GateFunction, (x: Tensor2D) => Tensor2D>> = {
  silu: (x) => tf.mul(x, tf.sigmoid(x)),
  gelu: (x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
  gelu_tanh: (x) => {
    const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))))
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1))
  }
}

/** relu(x)²: [N, F] → [N, F]. @see So et al. 2021, https://arxiv.org/abs/2109.08668 */
export const squaredRelu = (x: Tensor2D): Tensor2D =>
  hasKernel(SQUARED_RELU) ? fused(SQUARED_RELU, { x }) : tf.tidy(() => composedSquaredRelu(x))

export const composedSquaredRelu = (x: Tensor2D): Tensor2D => tf.square(tf.relu(x))
