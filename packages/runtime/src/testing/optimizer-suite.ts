import { describe, expect, it } from "vitest"
import { GLOBAL_NORM, hasKernel, TENSOR_NORM } from "../kernels/names.ts"
import { type AdamwItem, adamwUpdate, composedAdamwUpdate, normOf, normParts } from "../ops/optimizer.ts"
import { composedUpdateRows, updateRows } from "../ops/update-rows.ts"
import { writeValues } from "../ops/write-values.ts"
import { linear } from "../ops/linear.ts"
import { tf, type Tensor, type Tensor2D, type Variable } from "../tf.ts"
import { expectClose, leavesNothing, noise } from "./tensors.ts"

const options = { learningRate: 0.1, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, gradientScale: 1 }

const item = (values: ReadonlyArray<number>, weightDecay = 0.1): Omit<AdamwItem, "gradient"> => ({
  parameter: tf.variable(tf.tensor1d([...values])),
  firstMoment: tf.variable(tf.zeros([values.length])),
  secondMoment: tf.variable(tf.zeros([values.length])),
  weightDecay
})

const release = ({ firstMoment, parameter, secondMoment }: Omit<AdamwItem, "gradient">) =>
  tf.dispose([parameter, firstMoment, secondMoment] as Array<Tensor>)

const gradients = [
  [0.5, -1, 0, 2, 1e-4],
  [-0.25, 0.5, 1, 2, -1e-4],
  [0.1, 0.1, 0.1, -4, 0]
]

const adamwSuite = () =>
  describe("adamwUpdate", () => {
    it("makes the three steps that torch.optim.AdamW makes", () => {
      leavesNothing(() => {
        const state = item([1, -2, 0.5, 3, 0])
        gradients.forEach((gradient, i) =>
          adamwUpdate([{ ...state, gradient: tf.tensor1d(gradient) }], { ...options, step: i + 1 })
        )
        // torch 2.13, torch.optim.AdamW(lr=0.1, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1), float32.
        expectClose(state.parameter, [0.813591957, -1.80090928, 0.348781049, 2.7213583, -0.0886696652], 3e-7)
        expectClose(state.firstMoment, [0.027999999, -0.0259999987, 0.100000001, -0.0580000244, -8.99999804e-7], 3e-7)
        expectClose(state.secondMoment, [0.0147499992, 0.0574999973, 0.0480000004, 1.17050004, 9.26249966e-10], 3e-7)
        release(state)
      })
    })

    it("equals its composition, with clipping", () => {
      leavesNothing(() => {
        const [fused, composed] = [item([1, -2, 0.5, 3, 0]), item([1, -2, 0.5, 3, 0])]
        gradients.forEach((values, i) => {
          const step = { ...options, gradientScale: 0.3, step: i + 1 }
          adamwUpdate([{ ...fused, gradient: tf.tensor1d(values) }], step)
          composedAdamwUpdate({ ...composed, gradient: tf.tensor1d(values) }, step)
        })
        for (const name of ["parameter", "firstMoment", "secondMoment"] as const) {
          expectClose(fused[name], composed[name], 3e-7)
        }
        release(fused)
        release(composed)
      })
    })

    it("updates each of several by its own decay and rate, those whose memory another tensor shares too", () => {
      leavesNothing(() => {
        const start = [1, -2, 0.5, 3, 0]
        const made = () => [item(start, 0), item(start, 0.1), item(start.slice(0, 3), 0.1), { ...item(start), rate: 4 }]
        const [fused, composed] = [made(), made()]
        const kept = tf.clone(fused[1]!.parameter as Tensor)
        gradients.forEach((values, i) => {
          const step = { ...options, gradientScale: 0.3, step: i + 1 }
          const slope = (one: Omit<AdamwItem, "gradient">) => tf.tensor1d(values.slice(0, one.parameter.size))
          adamwUpdate(
            fused.map((one) => ({ ...one, gradient: slope(one) })),
            step
          )
          for (const one of composed) composedAdamwUpdate({ ...one, gradient: slope(one) }, step)
        })
        fused.forEach((one, i) => {
          for (const name of ["parameter", "firstMoment", "secondMoment"] as const) {
            expectClose(one[name], composed[i]![name], 3e-7)
          }
        })
        expectClose(kept, start, 0)
        for (const one of [...fused, ...composed]) release(one)
      })
    })

    it("updates any number of tensors of any size as it updates each alone, and the norm is that of all", () => {
      leavesNothing(() => {
        const sizes = Array.from({ length: 150 }, (_, i) => (i % 7 === 3 ? 4 * i + 1300 : (5 * i) % 37))
        const made = (size: number, i: number) => item([...noise([size], `value ${i}`).dataSync()], i % 3)
        const slopes = sizes.map((size, i) => noise([size], `slope ${i}`))
        const [together, alone] = [sizes.map(made), sizes.map(made)]
        const step = { ...options, gradientScale: 0.7, step: 3 }
        adamwUpdate(
          together.map((one, i) => ({ ...one, gradient: slopes[i]! })),
          step
        )
        alone.forEach((one, i) => adamwUpdate([{ ...one, gradient: slopes[i]! }], step))
        together.forEach((one, i) => {
          for (const name of ["parameter", "firstMoment", "secondMoment"] as const) {
            expectClose(one[name], alone[i]![name], 0)
          }
        })
        const square = slopes.flatMap((slope) => [...slope.dataSync()]).reduce((sum, x) => sum + x * x, 0)
        const isExact = hasKernel(GLOBAL_NORM) || hasKernel(TENSOR_NORM)
        // composed, it is added up in float32
        expect(Math.abs(globalNorm(slopes) / Math.sqrt(square) - 1)).toBeLessThan(isExact ? 1e-12 : 1e-7)
        for (const one of [...together, ...alone]) release(one)
      })
    })

    it("leaves alone whatever shares memory with the parameter, and matMul sees the new values", () => {
      leavesNothing(() => {
        const start = tf.tensor2d([1, 2, 3, 4], [2, 2])
        const parameter = tf.variable(start)
        const [firstMoment, secondMoment] = [tf.variable(tf.zeros([2, 2])), tf.variable(tf.zeros([2, 2]))]
        const unit = tf.eye(2)
        for (let step = 1; step <= 2; step++) {
          expectClose(tf.matMul(unit, parameter as Tensor), [...parameter.dataSync()], 0)
          expectClose(tf.fused.matMul({ a: unit, b: parameter as Tensor }), [...parameter.dataSync()], 0)
          const gradient = tf.ones([2, 2])
          adamwUpdate([{ parameter, gradient, firstMoment, secondMoment, weightDecay: 0 }], { ...options, step })
        }
        // Two steps of −0.1 each, since every gradient is 1.
        expectClose(tf.matMul(unit, parameter as Tensor), [0.8, 1.8, 2.8, 3.8], 1e-6)
        expectClose(tf.fused.matMul({ a: unit, b: parameter as Tensor }), [0.8, 1.8, 2.8, 3.8], 1e-6)
        expectClose(start, [1, 2, 3, 4], 0)
        tf.dispose([parameter, firstMoment, secondMoment] as Array<Variable>)
      })
    })
  })

const writeValuesSuite = () =>
  describe("writeValues", () => {
    it("sets a variable and what products read of it, and nothing that shares its memory", () => {
      leavesNothing(() => {
        const start = tf.tensor2d([1, 2, 3, 4], [2, 2])
        const weight = tf.variable(start)
        const unit = tf.eye(2)
        const product = () => [...tf.tidy(() => linear(unit as Tensor2D, weight as unknown as Tensor2D)).dataSync()]
        for (let k = 1; k <= 3; k++) {
          writeValues(weight, Float32Array.of(k, 2 * k, 3 * k, 4 * k))
          expectClose(weight, [k, 2 * k, 3 * k, 4 * k], 0)
          // W transposed
          expect(product()).toEqual([k, 3 * k, 2 * k, 4 * k])
          expectClose(start, [1, 2, 3, 4], 0)
        }
        expect(() => writeValues(weight, new Float32Array(3))).toThrow("3 values for 4 numbers")
        tf.dispose([start, weight as Tensor, unit])
      })
    })
  })

const globalNorm = (gradients: ReadonlyArray<Tensor>): number =>
  tf.tidy(() => normOf(normParts(gradients).dataSync()) as never)

const globalNormSuite = () =>
  describe("normParts", () => {
    it("is the root of the sum of all squares", () => {
      leavesNothing(() => {
        expect(
          globalNorm([
            tf.tensor2d([
              [3, 0],
              [0, 4]
            ]),
            tf.tensor1d([12])
          ])
        ).toBe(13)
        expect(globalNorm([])).toBe(0)
      })
    })

    it("is not finite where a gradient is not", () => {
      leavesNothing(() => {
        expect(globalNorm([tf.tensor1d([1, Number.NaN, 2, 3, 4])])).toBeNaN()
        expect(globalNorm([tf.tensor1d([1, 2]), tf.tensor1d([-Infinity])])).toBe(Infinity)
      })
    })
  })

const updateRowsSuite = () =>
  describe("updateRows", () => {
    it("replaces rows of the first axis in the order given and consumes the target", () => {
      leavesNothing(() => {
        const target = tf.zeros([4, 1, 2])
        const source = tf.tensor3d([1, 2, 3, 4], [2, 1, 2])
        const result = updateRows(target, Int32Array.of(2, 0), source)
        expectClose(result, [3, 4, 0, 0, 1, 2, 0, 0], 0)
        expect(target.isDisposed).toBe(true)
        expectClose(updateRows(result, new Int32Array(0), tf.zeros([0, 1, 2])), [3, 4, 0, 0, 1, 2, 0, 0], 0)
      })
    })

    it("does not write into memory that other tensors share", () => {
      leavesNothing(() => {
        const target = tf.zeros([2, 2])
        const seen = tf.reshape(target, [4])
        expectClose(updateRows(target, Int32Array.of(1), tf.ones([1, 2])), [0, 0, 1, 1], 0)
        expectClose(seen, [0, 0, 0, 0], 0)
      })
    })

    it("equals its composition", () => {
      leavesNothing(() => {
        const index = Int32Array.of(5, 1, 3)
        const source = noise([3, 2, 3], "source")
        const expected = composedUpdateRows(noise([7, 2, 3], "target"), index, source)
        expectClose(updateRows(noise([7, 2, 3], "target"), index, source), expected, 0)
      })
    })
  })

export const optimizerSuite = (): void => {
  adamwSuite()
  writeValuesSuite()
  globalNormSuite()
  updateRowsSuite()
}
