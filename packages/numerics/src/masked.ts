import { tf, type Scalar, type Tensor } from "@plumbline/runtime"

/**
 * Σ values over the positions that count. Masked positions may hold anything, NaN and ±∞ included: they
 * reach neither the sum nor its gradient.
 *
 * @param values any shape, float32
 * @param mask   same shape, bool, true = counts
 */
export const maskedSum = (values: Tensor, mask: Tensor): Scalar =>
  tf.sum(tf.where(mask, values, tf.zerosLike(values))) as Scalar

/** Mean over the positions that count, of which there must be one. @see maskedSum */
export const maskedMean = (values: Tensor, mask: Tensor): Scalar =>
  tf.div(maskedSum(values, mask), tf.sum(tf.cast(mask, "float32"))) as Scalar
