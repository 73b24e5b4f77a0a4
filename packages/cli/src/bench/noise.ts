import { philoxStream, type Tensor, tf } from "@plumbline/runtime"

/** Random numbers drawn on the host; no power of two, so that the rows of a matrix differ. */
const DRAWN = 2 ** 20 + 7

/** Tensors of normal noise, made where the backend computes. */
export interface Noise {
  /** N(0, scale²) float32 of this shape; the caller disposes. Calls follow one another in the same stream. */
  readonly normal: (shape: ReadonlyArray<number>, scale: number) => Tensor
  readonly dispose: () => void
}

/**
 * About a million numbers are drawn on the host; a tensor repeats them from where the last one ended. Good for the
 * weights of a model that is timed: a billion numbers drawn one by one would take minutes.
 */
export const deviceNoise = (seed: number): Noise => {
  const { normal } = philoxStream(seed, "bench/noise")
  const drawn = tf.keep(tf.tidy(() => tf.tensor1d(Float32Array.from({ length: DRAWN }, (_, i) => normal(i)))))
  let next = 0
  return {
    normal: (shape, scale) =>
      tf.tidy(() => {
        const size = shape.reduce((product, length) => product * length, 1)
        const repeated = tf.tile(drawn, [Math.ceil((next + size) / DRAWN)])
        const values = tf.reshape(tf.slice(repeated, [next], [size]), [...shape])
        next = (next + size) % DRAWN
        return tf.mul(values, scale)
      }),
    dispose: () => drawn.dispose()
  }
}
