import { ADAMW, ADAMW_ALL, fused, GLOBAL_NORM, hasKernel, TENSOR_NORM } from "../kernels/names.ts"
import { tf, type Scalar, type Tensor, type Tensor1D, type Variable } from "../tf.ts"

/**
 * Euclidean norm of all elements of all gradients, in float64 on host backends, before it is read: `normOf` makes it
 * of these numbers.
 *
 * @returns [2·n] float32: norms of parts of the gradients, and what rounding left of each
 */
export const normParts = (gradients: ReadonlyArray<Tensor>): Tensor1D => {
  if (gradients.length === 0) return tf.zeros([2])
  return hasKernel(GLOBAL_NORM)
    ? fused<Tensor1D>(GLOBAL_NORM, Object.fromEntries(gradients.entries()))
    : tf.tidy(() => tf.concat(gradients.map(tensorNorm)) as Tensor1D)
}

/** @returns the norm; NaN or ∞ where a gradient holds one */
export const normOf = (parts: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < parts.length; i += 2) sum += (parts[i]! + parts[i + 1]!) ** 2
  return Math.sqrt(sum)
}

/** [2] float32: the norm and what its rounding to float32 left. */
const tensorNorm = (gradient: Tensor): Tensor1D =>
  hasKernel(TENSOR_NORM)
    ? fused(TENSOR_NORM, { x: gradient })
    : (tf.stack([tf.sqrt(tf.sum(tf.square(gradient))) as Scalar, tf.scalar(0)]) as Tensor1D)

export interface AdamwItem {
  readonly parameter: Variable
  readonly gradient: Tensor
  readonly firstMoment: Variable
  readonly secondMoment: Variable
  readonly weightDecay: number
  /** Factor on the learning rate; 1 when absent. */
  readonly rate?: number | undefined
}

/**
 * Factor on every gradient, as global-norm clipping needs it; or what is asked for it once all else is ready, since it may have to
 * wait for the device. Undefined where nothing is to be updated.
 */
export type GradientScale = number | (() => number | undefined)

export interface AdamwStep {
  readonly learningRate: number
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Number of this step, from 1. */
  readonly step: number
  readonly gradientScale: GradientScale
}

/**
 * One AdamW step, in place, in the order of operations of torch.optim.AdamW:
 *
 *   p ← p·(1 − lr·wd);  m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²
 *   p ← p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 *
 * @see Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101
 */
export const adamwUpdate = (items: ReadonlyArray<AdamwItem>, step: AdamwStep): void => {
  if (items.length > 0 && hasKernel(ADAMW_ALL)) return updateTogether(items, step)
  const { gradientScale: given } = step
  const gradientScale = typeof given === "number" ? given : given()
  if (gradientScale === undefined) return
  const update = hasKernel(ADAMW) ? fusedUpdate : composedAdamwUpdate
  for (const item of items) update(item, { ...step, gradientScale })
}

/** The same with the factor. */
interface ScaledStep extends AdamwStep {
  readonly gradientScale: number
}

const fusedUpdate = (item: AdamwItem, step: ScaledStep): void => {
  const { firstMoment, gradient, parameter, secondMoment } = item
  const { beta1, beta2, epsilon, gradientScale } = step
  const inputs = { parameter, gradient, firstMoment, secondMoment }
  const attrs = { beta1, beta2, epsilon, gradientScale, ...factors(item, step) }
  tf.tidy(() => assignCopies([parameter, firstMoment, secondMoment], fused<Array<Tensor>>(ADAMW, inputs, attrs)))
}

const updateTogether = (items: ReadonlyArray<AdamwItem>, step: AdamwStep): void => {
  const { beta1, beta2, epsilon, gradientScale } = step
  const of = (name: "parameter" | "gradient" | "firstMoment" | "secondMoment") => items.map((item) => item[name])
  const written = [...of("parameter"), ...of("firstMoment"), ...of("secondMoment")] as Array<Variable>
  const inputs = [...of("parameter"), ...of("gradient"), ...of("firstMoment"), ...of("secondMoment")]
  const each = items.map((item) => factors(item, step))
  const attrs = {
    beta1,
    beta2,
    epsilon,
    gradientScale: typeof gradientScale === "number" ? () => gradientScale : gradientScale,
    denominatorScale: each[0]!.denominatorScale,
    decays: each.map(({ decay }) => decay),
    stepSizes: each.map(({ stepSize }) => stepSize)
  }
  tf.tidy(() => assignCopies(written, fused<Array<Tensor>>(ADAMW_ALL, inputs, attrs)))
}

/** What a kernel could not write in place, where another tensor shared the variable's memory and must keep its values. */
const assignCopies = (variables: ReadonlyArray<Variable>, updated: ReadonlyArray<Tensor>): void =>
  updated.forEach((values, i) => {
    if (values.dataId !== variables[i]!.dataId) variables[i]!.assign(values)
  })

const factors = ({ rate = 1, weightDecay }: AdamwItem, { beta1, beta2, learningRate, step }: AdamwStep) => ({
  decay: 1 - rate * learningRate * weightDecay,
  stepSize: (rate * learningRate) / (1 - beta1 ** step),
  denominatorScale: 1 / Math.sqrt(1 - beta2 ** step)
})

export const composedAdamwUpdate = (item: AdamwItem, step: ScaledStep): void => {
  const { firstMoment, gradient, parameter, secondMoment } = item
  const { decay, denominatorScale, stepSize } = factors(item, step)
  tf.tidy(() => {
    const slope = tf.mul(gradient, step.gradientScale)
    firstMoment.assign(tf.add(firstMoment, tf.mul(tf.sub(slope, firstMoment), 1 - step.beta1)))
    secondMoment.assign(tf.add(tf.mul(secondMoment, step.beta2), tf.mul(tf.mul(slope, 1 - step.beta2), slope)))
    const denominator = tf.add(tf.mul(tf.sqrt(secondMoment), denominatorScale), step.epsilon)
    parameter.assign(tf.sub(tf.mul(parameter, decay), tf.div(tf.mul(firstMoment, stepSize), denominator)))
  })
}
