import { expect } from "vitest"
import { philoxStream } from "../random.ts"
import { tf, type Scalar, type Tensor } from "../tf.ts"

/** sin(0.7·i + phase)·scale: inputs that another program can make again. */
export const wave = <T extends Tensor>(shape: ReadonlyArray<number>, phase: number, scale = 1): T => {
  const size = shape.reduce((product, length) => product * length, 1)
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => Math.fround(Math.sin(0.7 * i + phase)) * scale),
    [...shape]
  ) as T
}

/** Standard normal numbers, the same on every backend. */
export const noise = <T extends Tensor>(shape: ReadonlyArray<number>, name: string): T => {
  const stream = philoxStream(17, name)
  const size = shape.reduce((product, length) => product * length, 1)
  return tf.tensor(
    Float32Array.from({ length: size }, (_, i) => stream.normal(i)),
    [...shape]
  ) as T
}

/** Nearest below, by size, of what bfloat16 holds. */
export const representable = (values: Float32Array): Float32Array => {
  const bits = new Uint32Array(values.slice().buffer)
  return new Float32Array(bits.map((each) => each & 0xffff0000).buffer)
}

export const norm = (values: Iterable<number>): number => {
  let squares = 0
  for (const value of values) squares += value * value
  return Math.sqrt(squares)
}

/** Of what was found from what is exact, relative to that. */
export const distance = (found: ArrayLike<number>, exact: ArrayLike<number>): number =>
  norm(Array.from(exact, (value, i) => found[i]! - value)) / norm(Array.from(exact))

/** Every element within `tolerance` of the expected one, absolutely or relative to it. */
export const expectClose = (actual: Tensor, expected: ReadonlyArray<number> | Tensor, tolerance = 2e-6): void => {
  const wanted = Array.isArray(expected) ? expected : [...(expected as Tensor).dataSync()]
  const found = [...actual.dataSync()]
  expect(found).toHaveLength(wanted.length)
  found.forEach((value, i) => {
    const error = Math.abs(value - wanted[i]!) / Math.max(1, Math.abs(wanted[i]!))
    expect(error, `element ${i}: ${value}, expected ${wanted[i]}`).toBeLessThanOrEqual(tolerance)
  })
}

/** Tensors of as many tokens side by side: several results as one. */
export const beside = (tensors: ReadonlyArray<Tensor>): Tensor => {
  const flat = tensors.map((tensor) => {
    const [tokens, ...width] = tensor.shape as [number, ...Array<number>]
    return tf.reshape(tensor, [tokens, width.reduce((product, length) => product * length, 1)])
  })
  const joined = tf.concat(flat, 1)
  tf.dispose(flat)
  return joined
}

export type Op = (...inputs: ReadonlyArray<never>) => Tensor

/** Σ f(inputs)·weights: a number that has every output of f in it. */
const weighed = (f: Op, weights: Tensor) => (inputs: ReadonlyArray<Tensor>) =>
  tf.sum(tf.mul(f(...(inputs as ReadonlyArray<never>)), weights)) as Scalar

/** Gradients of Σ f(inputs)·weights with respect to each input. */
export const gradientsOf = (f: Op, inputs: ReadonlyArray<Tensor>, weights: Tensor): Array<Tensor> =>
  tf.grads((...tensors: Array<Tensor>) => weighed(f, weights)(tensors))([...inputs])

/** The same by central differences with step h; the error is of order h² plus float32 rounding over h. */
export const finiteDifferences = (f: Op, inputs: ReadonlyArray<Tensor>, weights: Tensor, h = 0.01): Array<Tensor> =>
  inputs.map((input, position) => {
    const values = input.dataSync()
    const valueWith = (index: number, shift: number) =>
      tf.tidy(() => {
        const moved = Float32Array.from(values)
        moved[index] = moved[index]! + shift
        return weighed(
          f,
          weights
        )(inputs.map((x, i) => (i === position ? tf.tensor(moved, x.shape) : x))).dataSync()[0]!
      })
    const slopes = Float32Array.from(values, (_, i) => (valueWith(i, h) - valueWith(i, -h)) / (2 * h))
    return tf.tensor(slopes, input.shape)
  })

/** Runs `body` in a tidy and fails if it leaves tensors behind, which a `keep` inside a kernel or gradient would. */
export const leavesNothing = (body: () => void): void => {
  const before = tf.memory()
  tf.tidy(() => {
    body()
  })
  const after = tf.memory()
  expect([after.numTensors, after.numDataBuffers]).toEqual([before.numTensors, before.numDataBuffers])
}
