import { addProduct, detached, type Tensor, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import type { AdapterTensor, BaseLinear, LinearAdapter } from "../method.ts"
import type { LinearModule } from "../targets.ts"
import type { LoraPair } from "./lora-start.ts"

const suffix = "lora_magnitude_vector"

/** ‖W + scale·B·A‖ of each row, [O]. */
const rowNorms = (weight: Tensor2D): Tensor1D => tf.sqrt(tf.sum(tf.square(weight), 1))

const moved = (weight: Tensor2D, a: Tensor2D, b: Tensor2D, scale: number): Tensor2D =>
  tf.add(weight, tf.mul(tf.matMul(b, a), scale))

/** m / ‖V‖, through whose norm no gradient flows, as in PEFT and §4.3 of the paper. */
const factors = (magnitude: Tensor, { weight }: BaseLinear, a: Tensor2D, b: Tensor2D, scale: number): Tensor1D =>
  tf.div(
    magnitude as Tensor1D,
    detached(() => rowNorms(moved(weight, a, b, scale)))
  )

/**
 * A low-rank adapter that keeps magnitude and direction of each row of W apart:
 *
 *   y = m/‖V‖ ⊙ x·Vᵀ + b,   V = W + s·B·A,   m [O] = ‖W‖ at first
 *
 * @see Liu et al. 2024, https://arxiv.org/abs/2402.09353
 */
export const dora = {
  suffix,
  magnitude: ({ outputs, weight }: LinearModule): AdapterTensor => ({
    suffix,
    shape: [outputs],
    initial: () => tf.tidy(() => rowNorms(weight()).dataSync() as Float32Array)
  }),
  layer: ({ a, b }: LoraPair, scale: number, magnitude: Tensor): LinearAdapter => ({
    down: () => [a()],
    output: (y, [reduced], base) => {
      const { bias, weight } = base()
      const straight = bias === undefined ? y : (tf.sub(y, bias) as Tensor2D)
      const direction = addProduct(straight, reduced!, b(), scale)
      const turned = tf.mul(direction, factors(magnitude, { weight, bias }, a(), b(), scale)) as Tensor2D
      return bias === undefined ? turned : tf.add(turned, bias)
    },
    merge: ({ bias, weight }) => {
      const factor = factors(magnitude, { weight, bias }, a(), b(), scale)
      return { weight: tf.mul(tf.reshape(factor, [-1, 1]), moved(weight, a(), b(), scale)), bias }
    }
  })
}
