import { addRmsNorm, layerNorm, rmsNorm, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import type { ParameterSpec } from "./parameter.ts"
import type { Weights } from "./weights.ts"

/** A normalisation over the last axis: its parameters under `name`, and itself on [N, D]. */
export interface Norm {
  readonly parameters: (name: string, width: number) => ReadonlyArray<ParameterSpec>
  readonly apply: (weights: Weights, name: string, x: Tensor2D, epsilon: number) => Tensor2D
  /** x + addend and the norm of that sum. */
  readonly ofSum: (weights: Weights, name: string, x: Tensor2D, addend: Tensor2D, epsilon: number) => NormedSum
}

export interface NormedSum {
  readonly sum: Tensor2D
  readonly normed: Tensor2D
}

export const rootMeanSquare: Norm = {
  parameters: (name, width) => [{ name: `${name}.weight`, shape: [width], initial: "ones" }],
  apply: (weights, name, x, epsilon) => rmsNorm(x, weights.tensor(`${name}.weight`) as Tensor1D, epsilon),
  ofSum: (weights, name, x, addend, epsilon) =>
    addRmsNorm(x, addend, weights.tensor(`${name}.weight`) as Tensor1D, epsilon)
}

/** LayerNorm1P: layer norm with the scale 1 + weight. A new weight is 1, as in transformers: the scale starts at 2. */
export const layerNormOnePlus: Norm = {
  parameters: (name, width) => [
    { name: `${name}.weight`, shape: [width], initial: "ones" },
    { name: `${name}.bias`, shape: [width], initial: "zeros" }
  ],
  apply: (weights, name, x, epsilon) => {
    const scale = tf.add(weights.tensor(`${name}.weight`), 1) as Tensor1D
    return layerNorm(x, scale, weights.tensor(`${name}.bias`) as Tensor1D, epsilon)
  },
  ofSum: (weights, name, x, addend, epsilon) => {
    const sum = tf.add(x, addend) as Tensor2D
    return { sum, normed: layerNormOnePlus.apply(weights, name, sum, epsilon) }
  }
}
