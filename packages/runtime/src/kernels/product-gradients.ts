import { addable } from "../backward-pass.ts"
import { isAsked } from "../tape-reach.ts"
import { tf, type Tensor } from "../tf.ts"
import type { Gradient } from "./gradient.ts"
import {
  ADD_BIAS,
  ADD_PRODUCT,
  fused,
  GATED_MLP,
  GATED_MLP_GRADIENT,
  GROUPED_LINEARS,
  GROUPED_LINEARS_INPUT_GRADIENT,
  GROUPED_LINEARS_WEIGHT_GRADIENTS,
  hasKernel,
  LINEAR,
  LINEARS,
  LINEARS_INPUT_GRADIENT,
  LINEARS_WEIGHT_GRADIENTS
} from "./names.ts"
import { product, sameAs } from "./plain-ops.ts"

const linear: Gradient = {
  inputsToSave: ["x", "weight"],
  gradients: ([dy], [x, weight]) => ({
    x: addable(
      () => product(dy!, weight!),
      (sum) =>
        hasKernel(LINEARS_INPUT_GRADIENT)
          ? fused(LINEARS_INPUT_GRADIENT, [dy!, weight!, sum])
          : tf.add(sum, product(dy!, weight!))
    ),
    weight: () => product(dy!, x!, true)
  })
}

/** Of linear layers on one input, of what reaches each: that of the input, and those of the weights, which are one product where all are asked for. */
const onOneInput = (
  dys: ReadonlyArray<Tensor>,
  x: Tensor,
  weights: ReadonlyArray<Tensor>,
  isTrained: (layer: number) => boolean
) => {
  const whole = weights.every((_, i) => isTrained(i))
    ? fused<Array<Tensor>>(LINEARS_WEIGHT_GRADIENTS, [...dys, x])
    : undefined
  const ofInput = (...sum: ReadonlyArray<Tensor>): Tensor => fused(LINEARS_INPUT_GRADIENT, [...dys, ...weights, ...sum])
  return {
    ofInput: addable(ofInput, ofInput),
    ofWeight: (layer: number) => whole?.[layer] ?? product(dys[layer]!, x, true)
  }
}

const linears: Gradient = {
  saveAllInputs: true,
  gradients: (dys, [x, ...weights], attrs) => {
    const { ofInput, ofWeight } = onOneInput(dys, x!, weights, (i) => isAsked(attrs, String(i + 1)))
    // inputs of a list are named by their places; the first one is x
    const gradients: Record<string, () => Tensor> = { 0: ofInput }
    for (let i = 0; i < weights.length; i++) gradients[i + 1] = () => ofWeight(i)
    return gradients
  }
}

const gatedMlp: Gradient = {
  inputsToSave: ["x", "gate", "up", "down"],
  outputsToSave: [false, true, true],
  reads: [true, false, false],
  gradients: ([dy], [x, gate, up, down, slopes, gated], attrs) => {
    const ofDown = { down: () => product(dy!, gated!, true) }
    if (!["x", "gate", "up"].some((input) => isAsked(attrs, input))) return ofDown
    const dys = fused<Array<Tensor>>(GATED_MLP_GRADIENT, { dy: dy!, down: down!, slopes: slopes! })
    const isTrained = (layer: number) => isAsked(attrs, layer === 0 ? "gate" : "up")
    const { ofInput, ofWeight } = onOneInput(dys, x!, [gate!, up!], isTrained)
    return { x: ofInput, gate: () => ofWeight(0), up: () => ofWeight(1), ...ofDown }
  }
}

/** Where groups end on the device is the second input, else their counts are attributes. */
const groupedLinears: Gradient = {
  saveAllInputs: true,
  gradients: (dys, [x, ...rest], attrs) => {
    const { counts, groups } = attrs
    const count = counts === undefined ? 1 : 0
    const [ends, weights] = [rest.slice(0, count), rest.slice(count)]
    const which = counts === undefined ? { groups } : { counts }
    let whole: Array<Tensor> | undefined
    const ofWeights = () =>
      (whole ??= fused<Array<Tensor>>(GROUPED_LINEARS_WEIGHT_GRADIENTS, [...ends, ...dys, x!], which))
    const gradients: Record<string, () => Tensor> = {
      0: () => fused(GROUPED_LINEARS_INPUT_GRADIENT, [...ends, ...dys, ...weights], which)
    }
    for (let i = 0; i < weights.length; i++) gradients[1 + count + i] = () => ofWeights()[i]!
    return gradients
  }
}

const addBias: Gradient = {
  gradients: ([dy]) => ({ x: () => sameAs(dy!), bias: () => tf.sum(dy!, 0) })
}

const addProduct: Gradient = {
  inputsToSave: ["x", "weight"],
  gradients: ([dy], [x, weight], { scale }) => ({
    sum: () => sameAs(dy!),
    x: () => scaled(product(dy!, weight!), scale),
    weight: () => scaled(product(dy!, x!, true), scale)
  })
}

const scaled = (x: Tensor, scale: unknown): Tensor => (scale === 1 ? x : tf.mul(x, scale as number))

/** Of linear layers. */
export const productGradients: Readonly<Record<string, Gradient>> = {
  [LINEAR]: linear,
  [LINEARS]: linears,
  [GATED_MLP]: gatedMlp,
  [GROUPED_LINEARS]: groupedLinears,
  [ADD_BIAS]: addBias,
  [ADD_PRODUCT]: addProduct
}
