import { it, layer } from "@effect/vitest"
import { ModelRuntime, tf, type Tensor } from "@plumbline/runtime"
import { Effect } from "effect"
import { describe, expect } from "vitest"
import { countByRow, k1, k2, k3, logSigmoid, maskedMean, maskedSum, meanByRow, sumByRow } from "./index.ts"

const close = (tensor: Tensor, expected: ReadonlyArray<number>, digits = 6) => {
  const values = tensor.dataSync()
  expect(values.length).toBe(expected.length)
  expected.forEach((value, i) => expect(values[i]).toBeCloseTo(value, digits))
}

/** Runs the body synchronously with the wasm backend active. */
const check = (name: string, body: () => void) =>
  it.effect(name, () =>
    Effect.provide(
      Effect.sync(() => tf.tidy(() => void body())),
      ModelRuntime.layerWasm
    )
  )

describe("logSigmoid", () => {
  // ln σ(0) = −ln 2; ln σ(±1) = −ln(1 + e^∓1)
  check("is −softplus(−x)", () => close(logSigmoid(tf.tensor1d([0, 1, -1])), [-Math.LN2, -0.3132617, -1.3132617]))
  check("is finite at ±10⁴", () => close(logSigmoid(tf.tensor1d([1e4, -1e4])), [0, -1e4], 2))
  check("has gradient σ(−x) on an intermediate tensor", () => {
    const gradient = tf.grad((x: Tensor) => tf.sum(logSigmoid(tf.mul(x, 2))))
    // 2·σ(−2x) at 0, 0.5, −5000
    close(gradient(tf.tensor1d([0, 0.5, -5000])), [1, 2 * 0.2689414, 2])
  })
})

describe("sums by row", () => {
  const values = () => tf.tensor1d([1, 2, 4, 8])
  const rows = Int32Array.of(0, 2, 2, 0)
  check("adds the tokens of each row, empty rows are 0", () => close(sumByRow(values(), rows, 3), [9, 0, 6]))
  check("keeps the digits of a long sum", () => {
    // one float32 after another 10,000 times .1 come to 999.9029
    const sum = sumByRow(tf.tensor1d(new Float32Array(10_000).fill(0.1)), new Int32Array(10_000), 1).dataSync()[0]!
    expect(Math.abs(sum - 1000)).toBeLessThan(1e-3)
  })
  check("divides by the row's own tokens", () => close(meanByRow(values(), Int32Array.of(0, 1, 1, 0), 2), [4.5, 3]))
  check("counts tokens", () => expect([...countByRow(rows, 3)]).toEqual([2, 0, 2]))
  check("sends each row's gradient to its tokens", () => {
    const gradient = tf.grad((x: Tensor) => tf.sum(tf.mul(sumByRow(x as never, rows, 3), tf.tensor1d([10, 20, 30]))))
    close(gradient(values()), [10, 30, 30, 10])
  })
})

describe("masked reductions", () => {
  const junk = () => tf.tensor1d([1, Number.NaN, 3, Number.POSITIVE_INFINITY])
  const mask = () => tf.tensor1d([1, 0, 1, 0], "bool")
  check("leave masked junk out of the value", () => {
    close(maskedSum(junk(), mask()), [4])
    close(maskedMean(junk(), mask()), [2])
  })
  check("leave masked junk out of the gradient", () => {
    close(tf.grad((x: Tensor) => maskedMean(x, mask()))(junk()), [0.5, 0, 0.5, 0])
  })
})

describe("KL estimators", () => {
  // at log π = −1, log π_ref = −1.3: 0.3; 0.09 / 2; e^−0.3 − 1 + 0.3
  const at = (estimator: typeof k1) => estimator(tf.tensor1d([-1]), tf.tensor1d([-1.3]))
  check("k1", () => close(at(k1), [0.3]))
  check("k2", () => close(at(k2), [0.045]))
  check("k3", () => close(at(k3), [0.0408182]))
  check("are 0 at policy = reference, and k2, k3 rise on both sides", () => {
    for (const estimator of [k1, k2, k3]) close(estimator(tf.tensor1d([-2]), tf.tensor1d([-2])), [0])
    for (const estimator of [k2, k3]) {
      expect(estimator(tf.tensor1d([-2]), tf.tensor1d([-1])).dataSync()[0]).toBeGreaterThan(0.3)
    }
  })
})

layer(ModelRuntime.layerWasm)("gradient of k3", (it) => {
  // ∂k3/∂log π = 1 − e^(ref − π): 1 − e^−0.3
  it.effect("is 1 − e^(ref − π)", () =>
    Effect.sync(() =>
      tf.tidy(
        () => void close(tf.grad((x: Tensor) => tf.sum(k3(x, tf.tensor1d([-1.3]))))(tf.tensor1d([-1])), [0.2591818])
      )
    )
  )
})
