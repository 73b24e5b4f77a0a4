import { describe, expect, it, type TestContext } from "vitest"
import { hasKernel } from "../kernels/names.ts"
import { tf, type Tensor } from "../tf.ts"
import { expectClose, finiteDifferences, gradientsOf, leavesNothing, noise, type Op } from "./tensors.ts"

/** A differentiable operation, all ways that it can be computed. */
export interface DifferentiableCase {
  readonly title: string
  /** Name of the kernel that a backend may have. */
  readonly kernel: string
  readonly inputs: () => ReadonlyArray<Tensor>
  readonly op: Op
  readonly composed: Op
  /** Tensors that one call of `op` leaves: 1 when absent. */
  readonly leaves?: number
  /** Inputs small enough for finite differences. */
  readonly small?: boolean
}

const weightsFor = (f: Op, tensors: ReadonlyArray<Tensor>): Tensor =>
  noise(tf.tidy(() => f(...(tensors as ReadonlyArray<never>))).shape, "weights")

/** Laws every differentiable operation of the runtime obeys. */
export const differentiableSuite = (cases: ReadonlyArray<DifferentiableCase>): void => {
  describe.each(cases)("$title", ({ composed, inputs, kernel, leaves = 1, op, small }) => {
    it("equals its composition of tfjs ops, value and gradients", (context: TestContext) => {
      context.skip(!hasKernel(kernel), `no kernel ${kernel} here: the op is the composition`)
      leavesNothing(() => {
        const tensors = inputs()
        expectClose(op(...(tensors as ReadonlyArray<never>)), composed(...(tensors as ReadonlyArray<never>)), 1e-5)
        const weights = weightsFor(op, tensors)
        const expected = gradientsOf(composed, tensors, weights)
        gradientsOf(op, tensors, weights).forEach((gradient, i) => expectClose(gradient, expected[i]!, 1e-5))
      })
    })

    if (small === true) {
      it("has the gradients that finite differences give", () => {
        leavesNothing(() => {
          const tensors = inputs()
          const weights = weightsFor(op, tensors)
          const expected = finiteDifferences(op, tensors, weights)
          gradientsOf(op, tensors, weights).forEach((gradient, i) => expectClose(gradient, expected[i]!, 3e-3))
        })
      })
    }

    it("leaves its results and nothing else outside a tidy", () => {
      const tensors = inputs()
      const before = tf.memory().numTensors
      tf.engine().startScope()
      op(...(tensors as ReadonlyArray<never>))
      expect(tf.memory().numTensors - before).toBe(leaves)
      tf.engine().endScope()
      tf.dispose([...tensors])
    })

    it("gives the same gradient of one input when the others are constants", () => {
      leavesNothing(() => {
        const tensors = inputs()
        const weights = weightsFor(op, tensors)
        const all = gradientsOf(op, tensors, weights)
        tensors.forEach((tensor, i) => {
          const alone: Op = (x: Tensor) => op(...(tensors.map((other, j) => (i === j ? x : other)) as Array<never>))
          expectClose(gradientsOf(alone, [tensor], weights)[0]!, all[i]!, 0)
        })
      })
    })
  })
}
