import { fused, hasKernel, ROTARY, ROTARY_HEADS } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor2D, type Tensor3D } from "../tf.ts"

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
  const table = angleTable(
    inverseFrequencies,
    scale,
    positions.reduce((most, position) => Math.max(most, position), -1)
  )
  const gather = (values: Float32Array) => {
    const rows = new Float32Array(positions.length * half)
    for (let n = 0; n < positions.length;) {
      const first = positions[n]!
      let count = 1
      while (n + count < positions.length && positions[n + count] === first + count) count++
      rows.set(values.subarray(first * half, (first + count) * half), n * half)
      n += count
    }
    return tf.tensor2d(rows, [positions.length, half])
  }
  return { cos: gather(table.cos), sin: gather(table.sin) }
}

interface AngleTable {
  readonly scale: number
  readonly cos: Float32Array
  readonly sin: Float32Array
}

/** Steps look at the same positions again and again: [positions, R/2] of each frequency list, grown as needed. */
const tables = new WeakMap<Float32Array, AngleTable>()

const angleTable = (inverseFrequencies: Float32Array, scale: number, last: number): AngleTable => {
  const half = inverseFrequencies.length
  const known = tables.get(inverseFrequencies)
  if (known !== undefined && known.scale === scale && known.cos.length >= (last + 1) * half) return known
  const size = 2 ** Math.ceil(Math.log2(last + 2)) * half
  const [cos, sin] = [new Float32Array(size), new Float32Array(size)]
  for (let n = 0; n < size; n++) {
    const angle = Math.fround(Math.floor(n / half) * inverseFrequencies[n % half]!)
    cos[n] = Math.cos(angle) * scale
    sin[n] = Math.sin(angle) * scale
  }
  const table = { scale, cos, sin }
  tables.set(inverseFrequencies, table)
  return table
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

/** Queries, keys and values of the same tokens. */
export interface Heads {
  /** [N, H, d] float32 */
  readonly q: Tensor3D
  /** [N, K, d] float32 */
  readonly k: Tensor3D
  /** [N, K, d] float32 */
  readonly v: Tensor3D
}

/** Rotates queries and keys; the values come along, so that the gradients of all three can be laid side by side. */
export const rotaryHeads = ({ k, q, v }: Heads, angles: RotaryAngles): Heads => {
  if (!hasKernel(ROTARY_HEADS)) return { q: rotary(q, angles), k: rotary(k, angles), v }
  const rotated = fused<Array<Tensor>>(ROTARY_HEADS, { q, k, v, ...angles }, { inverse: false })
  const [queries, keys, values] = rotated as [Tensor3D, Tensor3D, Tensor3D]
  return { q: queries, k: keys, v: values }
}

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
