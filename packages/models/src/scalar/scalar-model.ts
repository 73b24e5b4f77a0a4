import type { TokenRows } from "@plumbline/data"
import { addByRow, gatherRows, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import type { DecoderConfig, JsonObject } from "../config/decoder-config.ts"
import { decoder } from "../decoder/decoder.ts"
import { parameterWeights } from "../decoder/weights.ts"
import type { Model, ModelParts } from "../model.ts"
import { weightsVersion } from "../weights-version.ts"
import { type Head, HEAD_WEIGHT } from "./head.ts"

/** A decoder whose head gives numbers: a reward model, a critic. Its functions are synchronous and leak no tensor. */
export interface ScalarModel extends Model {
  readonly head: Head
  readonly rebuilt: (parts: ModelParts) => ScalarModel
  readonly recomputing: () => ScalarModel
  /** [R, K] float32: the scores of each row, from its last token or the mean of its tokens; differentiable */
  readonly rowScores: (rows: TokenRows) => Tensor2D
  /** [M, K] float32: the scores at flat positions `index`, each of what the row says up to there; differentiable */
  readonly tokenScores: (rows: TokenRows, index: Int32Array) => Tensor2D
}

/** Its parameters are the decoder's, and `score.weight` [K, D]. */
export interface ScalarModelParts extends ModelParts {
  readonly config: DecoderConfig
  readonly head: Head
  readonly generationConfig?: JsonObject | undefined
}

/** A model with a head over parameters that somebody else made and owns. */
export const scalarModel = (parts: ScalarModelParts): ScalarModel => {
  const { dispose, generationConfig, head, name, parameters, variables, version = weightsVersion() } = parts
  // transformers' classifiers have no load-balancing loss
  const config = { ...parts.config, balance: 0 }
  const weights = parts.weights ?? parameterWeights(parameters)
  const { hiddenStates } = decoder(config, weights, parts)
  const matrix = () => weights.tensor(HEAD_WEIGHT) as Tensor2D
  return {
    name,
    weights,
    contents: parts.contents,
    rateOf: parts.rateOf,
    copy: parts.copy,
    bare: parts.bare,
    // trained ones are refused in parts, and what is only asked is loaded whole
    shards: undefined,
    rebuilt: (others) =>
      scalarModel({ prefix: parts.prefix, recomputing: parts.recomputing, ...others, config, head, generationConfig }),
    config,
    contextTokens: config.maxPositions - (parts.prefix?.length ?? 0),
    head,
    generationConfig,
    parameters,
    variables,
    version,
    dispose,
    recomputing: () => scalarModel({ ...parts, version, recomputing: true }),
    rowScores: (rows) => tf.tidy(() => POOLED[head.pooling](hiddenStates(rows), rows, matrix())),
    tokenScores: (rows, index) => tf.tidy(() => scored(gatherRows(hiddenStates(rows), index), matrix()))
  }
}

type Pooled = (states: Tensor2D, rows: TokenRows, matrix: Tensor2D) => Tensor2D

/** What lies outside the rows is never read, so neither padding nor neighbours reach a score. */
const POOLED: Readonly<Record<Head["pooling"], Pooled>> = {
  last: (states, { lengths, starts }, matrix) =>
    scored(
      gatherRows(
        states,
        starts.map((start, row) => start + lengths[row]! - 1)
      ),
      matrix
    ),
  mean: (states, { lengths, starts }, matrix) => {
    const spans = Array.from(starts, (start, row) => Int32Array.from({ length: lengths[row]! }, (_, t) => start + t))
    const rowOf = Int32Array.from(spans.flatMap((span, row) => Array.from(span, () => row)))
    const tokens = scored(gatherRows(states, Int32Array.from(spans.flatMap((span) => [...span]))), matrix)
    const means = Array.from({ length: matrix.shape[0] }, (_, k) => {
      const score = tf.reshape(tf.slice(tokens, [0, k], [-1, 1]), [-1]) as Tensor1D
      return tf.reshape(tf.div(addByRow(score, rowOf, starts.length), tf.tensor1d(Float32Array.from(lengths))), [-1, 1])
    })
    return tf.concat(means, 1) as Tensor2D
  }
}

/** [M, D] × [K, D] → [M, K]. Not a matrix product: that would round scores to the storage of activations. */
const scored = (states: Tensor2D, matrix: Tensor2D): Tensor2D => {
  // slices, not unstack: the gradient of tfjs's fails where there is one
  const rows = Array.from({ length: matrix.shape[0] }, (_, k) => tf.slice(matrix, [k, 0], [1, -1]))
  return tf.concat(
    rows.map((weight) => tf.sum(tf.mul(states, weight), 1, true)),
    1
  ) as Tensor2D
}
