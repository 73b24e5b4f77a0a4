import { fused, hasKernel, SAMPLE_TOKENS } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { sampleRow } from "./sample-row.ts"

/** Numbers of a row of `draws`: uniform, temperature, top-k, top-p, min-p. */
export const DRAW_WIDTH = 5

/** Token ids of every row, laid end to end. */
export interface TokenLists {
  /** [N + 1] int32, where each row's list begins, and the end of the last */
  readonly starts: Int32Array
  /** [starts[N]] int32, each id once a row */
  readonly ids: Int32Array
}

/** Logits to change: a logit becomes logit / penalty where it is positive, else logit · penalty; then the addend is added. */
export interface LogitEdits extends TokenLists {
  /** [starts[N], 2] penalty (1 = none) and addend (−∞ forbids the token) of each id */
  readonly values: Float32Array
}

/** How the row of each logit vector draws; host data. */
export interface SamplingRows {
  /** [N, 5] uniform in [0, 1), temperature (0 = most likely), top-k (0 = all), top-p (1 = all), min-p (0 = all) */
  readonly draws: Float32Array
  readonly edits?: LogitEdits | undefined
  /** The only tokens that may be drawn; a row without any may draw all. */
  readonly allowed?: TokenLists | undefined
}

export interface SampledTokens {
  /** [N] int32; −1 where a row's logits are not finite or nothing may be drawn */
  readonly ids: Tensor1D
  /** [N] float32, nats, under the distribution drawn from; 0 at temperature 0 */
  readonly samplingLogProbs: Tensor1D
  /** [N] float32, nats, under the softmax of `logits` */
  readonly policyLogProbs: Tensor1D
}

/**
 * Draws one token a row; `sampleRow` says how. A row's token depends on its own logits and numbers alone. Not
 * differentiable.
 *
 * @param logits [N, V] float32
 */
export const sampleTokens = (logits: Tensor2D, rows: SamplingRows): SampledTokens => {
  if (!hasKernel(SAMPLE_TOKENS)) return sampledTensors(sampleOnHost(logits, rows))
  return tf.tidy(() => {
    const [ids, samplingLogProbs, policyLogProbs] = fused<Array<Tensor>>(SAMPLE_TOKENS, kernelInputs(logits, rows))
    return { ids, samplingLogProbs, policyLogProbs } as unknown as SampledTokens & Record<string, Tensor>
  })
}

const kernelInputs = (logits: Tensor2D, { allowed, draws, edits }: SamplingRows): Record<string, Tensor> => ({
  logits,
  draws: tf.tensor2d(draws, [logits.shape[0], DRAW_WIDTH]),
  ...(edits === undefined || edits.ids.length === 0
    ? {}
    : {
        editStarts: tf.tensor1d(edits.starts, "int32"),
        editIds: tf.tensor1d(edits.ids, "int32"),
        edits: tf.tensor2d(edits.values, [edits.ids.length, 2])
      }),
  ...(allowed === undefined || allowed.ids.length === 0
    ? {}
    : { allowedStarts: tf.tensor1d(allowed.starts, "int32"), allowedIds: tf.tensor1d(allowed.ids, "int32") })
})

interface HostSamples {
  readonly ids: Int32Array
  readonly samplingLogProbs: Float32Array
  readonly policyLogProbs: Float32Array
}

const sampledTensors = ({ ids, policyLogProbs, samplingLogProbs }: HostSamples): SampledTokens => ({
  ids: tf.tensor1d(ids, "int32"),
  samplingLogProbs: tf.tensor1d(samplingLogProbs),
  policyLogProbs: tf.tensor1d(policyLogProbs)
})

const NO_IDS = new Int32Array(0)
const NO_EDITS = new Float32Array(0)

const sampleOnHost = (logits: Tensor2D, { allowed, draws, edits }: SamplingRows): HostSamples => {
  const [rows, vocabulary] = logits.shape
  const values = logits.dataSync() as Float32Array
  const samples = {
    ids: new Int32Array(rows),
    samplingLogProbs: new Float32Array(rows),
    policyLogProbs: new Float32Array(rows)
  }
  for (let row = 0; row < rows; row++) {
    const [uniform, temperature, topK, topP, minP] = draws.subarray(row * DRAW_WIDTH) as unknown as RowNumbers
    const [first, end] = edits === undefined ? [0, 0] : [edits.starts[row]!, edits.starts[row + 1]!]
    const open = allowed?.ids.subarray(allowed.starts[row]!, allowed.starts[row + 1]!)
    const drawn = sampleRow(values.subarray(row * vocabulary, (row + 1) * vocabulary), {
      uniform,
      temperature,
      topK,
      topP,
      minP,
      editIds: edits?.ids.subarray(first, end) ?? NO_IDS,
      edits: edits?.values.subarray(2 * first, 2 * end) ?? NO_EDITS,
      allowed: open === undefined || open.length === 0 ? undefined : open
    })
    samples.ids[row] = drawn.id
    samples.samplingLogProbs[row] = drawn.samplingLogProb
    samples.policyLogProbs[row] = drawn.policyLogProb
  }
  return samples
}

type RowNumbers = readonly [number, number, number, number, number]
