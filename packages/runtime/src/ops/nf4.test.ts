import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { bfloat16Backends, float32Backends } from "../testing/backends.ts"
import { philoxStream } from "../random.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { narrowed } from "./narrowed.ts"
import { dequantised, nf4Linear, quantised } from "./nf4.ts"
import { NF4_BORDERS, NF4_LEVELS, nf4Bytes, packNf4, unpackNf4 } from "./nf4-values.ts"

const normal = (count: number, name = "weights") => {
  const stream = philoxStream(3, name)
  return Float32Array.from({ length: count }, (_, i) => 0.02 * stream.normal(i))
}

const runtimes = [
  ...float32Backends.map(({ isThere, layer, name }) => [name, layer, isThere] as const),
  ...bfloat16Backends.map(({ isThere, layer, name }) => [`${name} in bfloat16`, layer, isThere] as const)
]

describe("NF4 on the host", () => {
  it("gives levels back as they are, and what lies between as the nearest", () => {
    // one block whose largest magnitude is 1: its scale is the mean of all scales, and exact
    const block = Float32Array.from({ length: 64 }, (_, i) => NF4_LEVELS[i % 16]!)
    expect([...unpackNf4(packNf4(block))]).toEqual([...block])
    const between = block.map((value, i) =>
      i === 0 ? 1 : value + 0.03 * (i % 2 === 0 ? 1 : -1) * (i % 16 > 0 && i % 16 < 15 ? 1 : 0)
    )
    // neighbouring levels are 0.07 apart or more
    expect([...unpackNf4(packNf4(between))].slice(1)).toEqual([...block].slice(1))
  })

  it("keeps normal numbers within the error that the paper's data type has", () => {
    const values = normal(64 * 300 + 17)
    const again = unpackNf4(packNf4(values))
    const [error, power] = values.reduce(
      ([e, p], value, i) => [e + (value - again[i]!) ** 2, p + value ** 2] as const,
      [0, 0] as readonly [number, number]
    )
    // NF4 of normal numbers in blocks of 64: a relative error of 0.09 to 0.10; uniform 4-bit levels have 0.13
    expect(Math.sqrt(error / power)).toBeLessThan(0.105)
    expect(Math.sqrt(error / power)).toBeGreaterThan(0.08)
  })

  it("takes 4.13 bits a number", () => {
    const { codes, outer, scales } = packNf4(normal(64 * 256 * 4))
    expect(nf4Bytes(64 * 256 * 4)).toBe(4 * (codes.length + outer.length + scales.length))
    const broken = packNf4(normal(64 * 257 + 1))
    expect(nf4Bytes(64 * 257 + 1)).toBe(4 * (broken.codes.length + broken.outer.length + broken.scales.length))
    expect((32 * (codes.length + outer.length + scales.length)) / (64 * 256 * 4)).toBeCloseTo(
      4 + 8 / 64 + 32 / (64 * 256),
      10
    )
  })

  it("survives zeros", () => {
    expect([...unpackNf4(packNf4(new Float32Array(70)))].every((value) => value === 0)).toBe(true)
  })
})

describe.for(runtimes.filter(([, , there]) => there))("NF4 on %s", ([, layer]) => {
  const run = (body: () => void) =>
    Effect.runPromise(Effect.provide(Effect.andThen(ModelRuntime, Effect.sync(body)), layer))
  const shape = [37, 24] as const

  it("packs to the host's bits", () =>
    run(() => {
      const stream = philoxStream(4, "sizes")
      // whole and broken blocks and groups of blocks, blocks of zeros and of one size, magnitudes that differ a hundredfold
      const cases: ReadonlyArray<readonly [number, number, Float32Array]> = [
        [37, 24, normal(37 * 24)],
        [128, 256, normal(128 * 256).map((value, i) => value * (1 + 99 * stream.uniform(i >> 6)))],
        [257, 640, normal(257 * 640).map((value, i) => ((i >> 6) % 5 === 2 ? 0 : (i >> 6) % 5 === 3 ? 0.02 : value))],
        [3, 64, new Float32Array(192)],
        // a scale of 1, and what lies halfway between two levels
        [2, 64, Float32Array.from({ length: 128 }, (_, i) => NF4_BORDERS[i % 16] ?? 1)],
        [1, 1, Float32Array.of(-0.3)]
      ]
      for (const [rows, columns, values] of cases) {
        tf.tidy(() => {
          const expected = packNf4(values)
          const { codes, mean, outer, scales } = quantised(tf.tensor2d(values, [rows, columns]))
          expect([...codes.dataSync()]).toEqual([...expected.codes])
          expect([...scales.dataSync()]).toEqual([...expected.scales])
          expect([...outer.dataSync()]).toEqual([...expected.outer])
          expect(mean).toBe(expected.mean)
        })
      }
    }))

  it("is what the host makes of it, and so are products and their gradients", () =>
    run(() => {
      const packed = packNf4(normal(37 * 24))
      const expected = unpackNf4(packed).subarray(0, 37 * 24)
      tf.tidy(() => {
        const matrix = quantised(tf.tensor2d(normal(37 * 24), [...shape]))
        const values = dequantised(matrix).dataSync()
        // float32, rounded once where activations are stored narrower
        expect([...values]).toEqual([...narrowed(tf.tensor1d(expected)).dataSync()])
        const weight = tf.tensor2d(expected, [...shape])
        const x = tf.variable(tf.tensor2d(normal(5 * 24, "x"), [5, 24])) as unknown as Tensor2D
        const dy = tf.tensor2d(normal(5 * 37, "dy"), [5, 37])
        const product = tf.matMul(x, weight, false, true).dataSync()
        nf4Linear(x, matrix)
          .dataSync()
          .forEach((value, i) => expect(Math.abs(value - product[i]!)).toBeLessThan(5e-5))
        const { grads } = tf.variableGrads(() => tf.sum(tf.mul(nf4Linear(x, matrix), dy)).asScalar(), [x as never])
        const gradient = tf.matMul(dy, weight).dataSync()
        Object.values(grads)[0]!
          .dataSync()
          .forEach((value, i) => expect(Math.abs(value - gradient[i]!)).toBeLessThan(5e-5))
        ;(x as never as { dispose: () => void }).dispose()
      })
    }))
})
