import { philoxStream, type Tensor, type Tensor2D, tf } from "@plumbline/runtime"
import type { DecoderConfig } from "../config/decoder-config.ts"
import { outputMatrixName } from "../decoder/parameter-table.ts"
import type { Weights } from "../decoder/weights.ts"
import { initialValues } from "../initial-values.ts"
import type { Model } from "../model.ts"
import { type Head, HEAD_WEIGHT, headParameter, withHead } from "./head.ts"
import { type ScalarModel, scalarModel } from "./scalar-model.ts"

/** A head to put on a decoder, instead of the one its folder may have. */
export interface NewHead extends Head {
  /** Its weights, [K, D] row-major; drawn from N(0, initializer_range²) by `seed` when absent. */
  readonly weights?: Float32Array | undefined
  readonly seed: number
}

/** [K, D] float32 */
export const newHeadMatrix = (config: DecoderConfig, head: NewHead): Tensor2D => {
  const spec = headParameter(config, head)
  const values = head.weights ?? initialValues(spec, config.initializerRange, philoxStream(head.seed, spec.name))
  return tf.tensor2d(values, [head.attributes.length, config.width])
}

export interface HeadedOptions {
  readonly name: string
  /** Token that fills up rows, noted in config.json where it has none and this ends no text. */
  readonly padId?: number | undefined
}

/**
 * A frozen model's decoder with a head: what `loadScalarModel` makes of its folder, on the parameters that are there. The
 * head alone is its own, and what `dispose` frees.
 */
export const headedModel = (base: Model, head: NewHead, { name, padId }: HeadedOptions): ScalarModel => {
  const config = withHead(base.config, head, padId)
  const matrix = tf.keep(newHeadMatrix(config, head))
  const parameters = new Map<string, Tensor>(base.parameters)
  if (!config.tiedEmbeddings) parameters.delete(outputMatrixName(config))
  parameters.set(HEAD_WEIGHT, matrix)
  const weights = headedWeights(base.weights, matrix)
  const { attributes, pooling } = head
  const dispose = () => matrix.dispose()
  return scalarModel({ name, config, head: { attributes, pooling }, parameters, weights, variables: [], dispose })
}

const headedWeights = (weights: Weights, matrix: Tensor2D): Weights => ({
  ...weights,
  tensor: (name) => (name === HEAD_WEIGHT ? matrix : weights.tensor(name)),
  forRows: weights.forRows && ((rows) => headedWeights(weights.forRows!(rows), matrix))
})
