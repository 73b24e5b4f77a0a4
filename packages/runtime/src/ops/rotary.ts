import { fused, hasKernel, ROTARY } from "../kernels/names.ts"
import { tf, type Tensor2D, type Tensor3D } from "../tf.ts"

/** Cosine and sine of every token's angles: [N, R/2] float32 each, R rotated dimensions a head. */
export interface RotaryAngles {
  readonly cos: Tensor2D
  readonly sin: Tensor2D
}

/**
 * Angles position · inverseFrequency, computed in float64 on the host and rounded once.
 *
 * @param positions          [N] token positions inside their rows
 * @param inverseFrequencies [R/2] radians a position
 * @param scale              factor on both cosine and sine (attention scaling of YaRN; 1 otherwise)
 */
export const rotaryAngles = (positions: Int32Array, inverseFrequencies: Float32Array, scale = 1): RotaryAngles => {
  const half = inverseFrequencies.length
  const cos = new Float32Array(positions.length * half)
  const sin = new Float32Array(positions.length * half)
  for (let n = 0; n < positions.length; n++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(positions[n]! * inverseFrequencies[i]!)
      cos[n * half + i] = Math.cos(angle) * scale
      sin[n * half + i] = Math.sin(angle) * scale
    }
  }
  return { cos: tf.tensor2d(cos, [positions.length, half]), sin: tf.tensor2d(sin, [positions.length, half]) }
}

/**
 * Rotary position embedding in the half-split layout of Hugging Face: dimension i pairs with i + R/2, the
 * dimensions from R on pass through.
 *
 * @param x      [N, H, d] float32
 * @param angles cosine and sine, [N, R/2], R ≤ d
 * @returns      [N, H, d] float32
 * @see Su et al. 2021, https://arxiv.org/abs/2104.09864
 */
export const rotary = (x: Tensor3D, { cos, sin }: RotaryAngles): Tensor3D =>
  hasKernel(ROTARY)
    ? fused(ROTARY, { x, cos, sin }, { inverse: false })
    : tf.tidy(() => composedRotary(x, { cos, sin }))

export const composedRotary = (x: Tensor3D, { cos, sin }: RotaryAngles): Tensor3D => {
  const [tokens, heads, width] = x.shape
  const half = cos.shape[1]
  const c = tf.reshape(cos, [tokens, 1, half])
  const s = tf.reshape(sin, [tokens, 1, half])
  const first = tf.slice(x, [0, 0, 0], [tokens, heads, half])
  const second = tf.slice(x, [0, 0, half], [tokens, heads, half])
  const rotated = [tf.sub(tf.mul(first, c), tf.mul(second, s)), tf.add(tf.mul(second, c), tf.mul(first, s))]
  const rest = width - 2 * half
  const parts = rest === 0 ? rotated : [...rotated, tf.slice(x, [0, 0, 2 * half], [tokens, heads, rest])]
  return tf.concat(parts, 2) as Tensor3D
}
