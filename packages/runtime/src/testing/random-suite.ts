import { describe, it } from "vitest"
import { hasKernel } from "../kernels/names.ts"
import type { FusedCase } from "./fused-case.ts"
import { addProductCases } from "./add-product-suite.ts"
import { attentionCases } from "./random-attention.ts"
import { layerCases } from "./random-layers.ts"
import { routingCases } from "./random-routing.ts"
import { tokenLayerCases } from "./random-token-layers.ts"
import { expectClose, gradientsOf, leavesNothing, noise } from "./tensors.ts"

/** Every fused operation, on shapes drawn at random and on those that chance rarely finds. */
export const fusedCases: ReadonlyArray<FusedCase> = [
  ...attentionCases,
  ...layerCases,
  ...addProductCases,
  ...routingCases,
  ...tokenLayerCases
]

/** Fused against composed on the same backend: 1e-5, forward and gradients. */
export const randomSuite = () =>
  describe("on shapes drawn at random", () => {
    it.for(fusedCases)("$title equals its composition", ({ composed, inputs, kernel, op }, context) => {
      context.skip(!hasKernel(kernel), `no kernel ${kernel} here: the op is the composition`)
      leavesNothing(() => {
        const tensors = inputs()
        const expected = composed(...(tensors as ReadonlyArray<never>))
        expectClose(op(...(tensors as ReadonlyArray<never>)), expected, 1e-5)
        const weights = noise(expected.shape, "weights")
        const gradients = gradientsOf(composed, tensors, weights)
        gradientsOf(op, tensors, weights).forEach((gradient, i) => expectClose(gradient, gradients[i]!, 1e-5))
      })
    })
  })
