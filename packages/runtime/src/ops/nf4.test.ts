import { addonPath } from "@plumbline/tfjs-backend-torch"
import { Effect } from "effect"
import { describe, expect, it } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { philoxStream } from "../random.ts"
import { tf, type Tensor2D } from "../tf.ts"
import { dequantised, nf4Linear, nf4Matrix } from "./nf4.ts"
import { NF4_LEVELS, packNf4, unpackNf4 } from "./nf4-values.ts"

const normal = (count: number, name = "weights") => {
  const stream = philoxStream(3, name)
  return Float32Array.from({ length: count }, (_, i) => 0.02 * stream.normal(i))
}

const runtimes = [
  ["wasm", ModelRuntime.layerWasm, true],
  ["torch", ModelRuntime.layerTorch({ device: "cpu" }), addonPath() !== undefined],
  ["torch in bfloat16", ModelRuntime.layerTorch({ device: "cpu", precision: "bfloat16" }), addonPath() !== undefined]
] as const

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

  it("is what the host makes of it, and so are products and their gradients", () =>
    run(() => {
      const packed = packNf4(normal(37 * 24))
      const expected = unpackNf4(packed).subarray(0, 37 * 24)
      tf.tidy(() => {
        const matrix = nf4Matrix(shape, packed)
        const values = dequantised(matrix).dataSync()
        const tolerance = layer === ModelRuntime.layerWasm ? 1e-8 : 4e-4
        expected.forEach((value, i) => expect(Math.abs(values[i]! - value)).toBeLessThanOrEqual(tolerance))
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
