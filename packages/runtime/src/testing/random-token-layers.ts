import {
  ADD_EMBEDDING_GRADIENT,
  EMBEDDING,
  EMBEDDING_GRADIENT,
  ROTARY,
  ROTARY_ATTENTION,
  ROTARY_HEADS,
  TOKEN_LOG_PROBS
} from "../kernels/names.ts"
import { addByRow, composedAddRowsById } from "../ops/add-by-row.ts"
import { composedEmbedding, embedding } from "../ops/embedding.ts"
import { composedLinear, linear } from "../ops/linear.ts"
import { composedAttention, rotaryAttention } from "../ops/attention.ts"
import { composedRotary, rotary, rotaryAngles, rotaryHeads } from "../ops/rotary.ts"
import { composedTokenLogProbs, tokenLogProbs } from "../ops/token-log-probs.ts"
import { tf, type Tensor1D, type Tensor2D, type Tensor3D } from "../tf.ts"
import type { Draw } from "./random-draw.ts"
import { layersOf, type Make, matrix, tokensOf, widthOf } from "./random-shapes.ts"
import { beside, noise } from "./tensors.ts"

const positions = (draw: Draw, tokens: number, half: number) => {
  const starts = Int32Array.from({ length: tokens }, () => draw.whole(0, 500))
  return () =>
    rotaryAngles(
      starts,
      Float32Array.from({ length: half }, (_, i) => 2 ** -i)
    )
}

const rotaries: Make = (draw) => {
  const [tokens, heads, half] = [tokensOf(draw), draw.whole(1, 5), draw.whole(1, 6)]
  const width = 2 * half + draw.one([0, 0, 3])
  const angles = positions(draw, tokens, half)
  return {
    shape: `${2 * half} of ${width}, ${tokens} tokens, ${heads} heads`,
    kernel: ROTARY,
    activations: 1,
    inputs: () => [noise([tokens, heads, width], "x")],
    op: (x: Tensor3D) => rotary(x, angles()),
    composed: (x: Tensor3D) => composedRotary(x, angles())
  }
}

const rotaryOfHeads: Make = (draw) => {
  const [tokens, keyHeads, half] = [tokensOf(draw), draw.whole(1, 3), draw.whole(1, 6)]
  const [heads, width] = [keyHeads * draw.whole(1, 4), 2 * half + draw.one([0, 0, 3])]
  const angles = positions(draw, tokens, half)
  return {
    shape: `${2 * half} of ${width}, ${tokens} tokens, ${heads}/${keyHeads} heads`,
    kernel: ROTARY_HEADS,
    activations: 3,
    inputs: () => [
      noise([tokens, heads, width], "q"),
      noise([tokens, keyHeads, width], "k"),
      noise([tokens, keyHeads, width], "v")
    ],
    op: (q: Tensor3D, k: Tensor3D, v: Tensor3D) => {
      const rotated = rotaryHeads({ q, k, v }, angles())
      return beside([rotated.q, rotated.k, rotated.v])
    },
    composed: (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      beside([composedRotary(q, angles()), composedRotary(k, angles()), v])
  }
}

/** Rows of one token, of more, and of none, end to end. */
const rotaryAttentions: Make = (draw) => {
  const lengths = Int32Array.from({ length: draw.whole(1, 4) }, (_, row) =>
    draw.one([row === 0 ? 1 : 0, 1, draw.whole(2, 40)])
  )
  const starts = lengths.map((_, row) => lengths.subarray(0, row).reduce((sum, length) => sum + length, 0))
  const tokens = lengths.reduce((sum, length) => sum + length, 0)
  const [keyHeads, half] = [draw.whole(1, 2), draw.one([2, 3, 32])]
  const [heads, width] = [keyHeads * draw.whole(1, 3), 2 * half + draw.one([0, 0, 2])]
  const angles = positions(draw, tokens, half)
  const options = { queries: { starts, lengths }, keys: { starts, lengths }, scale: 1 / Math.sqrt(width) }
  return {
    shape: `${2 * half} of ${width}, rows of ${[...lengths].join(", ")}, ${heads}/${keyHeads} heads`,
    kernel: ROTARY_ATTENTION,
    activations: 3,
    inputs: () => [
      noise([tokens, heads, width], "q"),
      noise([tokens, keyHeads, width], "k"),
      noise([tokens, keyHeads, width], "v")
    ],
    op: (q: Tensor3D, k: Tensor3D, v: Tensor3D) => rotaryAttention({ q, k, v }, angles(), options),
    composed: (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      composedAttention(composedRotary(q, angles()), composedRotary(k, angles()), v, options)
  }
}

const idsOf = (draw: Draw, count: number, rows: number) =>
  Int32Array.from({ length: count }, () => draw.whole(0, rows - 1))

const embeddings: Make = (draw) => {
  const [tokens, rows, width] = [tokensOf(draw), draw.whole(1, 30), widthOf(draw)]
  const ids = idsOf(draw, tokens, rows)
  return {
    shape: `${tokens} of [${rows}, ${width}]`,
    kernel: EMBEDDING,
    activations: 0,
    inputs: () => [noise([rows, width], "weight")],
    op: (weight: Tensor2D) => embedding(weight, ids),
    composed: (weight: Tensor2D) => composedEmbedding(weight, ids)
  }
}

/** Of tokens many of which are one, in some draws. */
const tiedEmbeddings: Make = (draw) => {
  const [tokens, rows, width] = [draw.one([0, draw.whole(1, 200)]), draw.whole(1, 30), widthOf(draw)]
  const ids = idsOf(draw, tokens, draw.one([1, rows]))
  return {
    shape: `${tokens} of [${rows}, ${width}]`,
    kernel: ADD_EMBEDDING_GRADIENT,
    activations: 0,
    inputs: () => [matrix(rows, width, "weight")],
    op: (weight: Tensor2D) => tf.tidy(() => linear(embedding(weight, ids), weight)),
    composed: (weight: Tensor2D) => composedLinear(composedEmbedding(weight, ids), weight)
  }
}

const rowSums: Make = (draw) => {
  const [tokens, rows] = [tokensOf(draw), draw.whole(1, 9)]
  const ids = idsOf(draw, tokens, rows)
  return {
    shape: `${tokens} into ${rows}`,
    kernel: EMBEDDING_GRADIENT,
    activations: 0,
    inputs: () => [noise([tokens], "values")],
    op: (values: Tensor1D) => addByRow(values, ids, rows),
    composed: (values: Tensor1D) => composedAddRowsById(values, ids, rows)
  }
}

const logProbs: Make = (draw) => {
  const tokens = draw.one([0, 1, 257, 2 * draw.whole(1, 40) + 1])
  const [vocabulary, width] = [draw.one([2, 37, 131]), draw.one([3, 16, 33])]
  const targets = idsOf(draw, tokens, vocabulary)
  const options = { temperature: draw.one([1, 1, 0.7]), softCap: draw.one([undefined, undefined, 3]) }
  return {
    shape: `${tokens} of ${vocabulary}, width ${width}, ${JSON.stringify(options)}`,
    kernel: TOKEN_LOG_PROBS,
    activations: 1,
    inputs: () => [noise([tokens, width], "hidden"), matrix(vocabulary, width, "weight")],
    op: (hidden: Tensor2D, weight: Tensor2D) => tokenLogProbs(hidden, weight, targets, options).logProbs,
    composed: (hidden: Tensor2D, weight: Tensor2D) => composedTokenLogProbs(hidden, weight, targets, options).logProbs
  }
}

/** Layers that know which token is where. */
export const tokenLayerCases = layersOf({
  rotary: rotaries,
  rotaryHeads: rotaryOfHeads,
  rotaryAttention: rotaryAttentions,
  embedding: embeddings,
  tiedEmbedding: tiedEmbeddings,
  addByRow: rowSums,
  tokenLogProbs: logProbs
})
