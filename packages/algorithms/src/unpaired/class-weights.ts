import { tf, type Tensor1D } from "@plumbline/runtime"
import { LossInvalid } from "../loss-invalid.ts"

/** What a response of either class weighs, for classes of different size. */
export interface ClassWeights {
  /** λ_D */
  readonly desirableWeight: number
  /** λ_U */
  readonly undesirableWeight: number
}

/** [R] +1 for desirable responses, −1 for the others. */
export const signs = (desirable: Tensor1D): Tensor1D => tf.sub<Tensor1D>(tf.mul(2, desirable), 1)

/** [R] the weight of each response's class. */
export const classWeights = (desirable: Tensor1D, { desirableWeight, undesirableWeight }: ClassWeights): Tensor1D =>
  tf.add<Tensor1D>(tf.mul(desirableWeight - undesirableWeight, desirable), undesirableWeight)

/**
 * The weights, 1 where none is given.
 *
 * @throws LossInvalid where one is negative or no number, or both are 0
 */
export const checkedWeights = (
  loss: string,
  { desirableWeight = 1, undesirableWeight = 1 }: Partial<ClassWeights>
): ClassWeights => {
  const wrong = [desirableWeight, undesirableWeight].find((weight) => !(weight >= 0 && weight < Infinity))
  if (wrong !== undefined) throw new LossInvalid({ loss, reason: `a class weighs 0 or more, not ${wrong}` })
  if (desirableWeight === 0 && undesirableWeight === 0) {
    throw new LossInvalid({ loss, reason: "both classes weigh 0, so nothing would be learnt" })
  }
  return { desirableWeight, undesirableWeight }
}
