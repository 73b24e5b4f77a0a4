import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { BOOL, FLOAT32 } from "../scalar-type.ts"
import { type QueryChunk, queryChunks, type RowBatch, rowBatches, type Spans } from "./attention-rows.ts"

// Exact attention as matrix products over chunks of queries, for rows laid end to end: [T, S] scores exist for one chunk
// at a time, and the backward pass makes them again from the saved normalizers.

export interface AttentionAttributes {
  readonly queries: Spans
  readonly keys: Spans
  readonly scale: number
  readonly window?: number | undefined
  readonly softCap?: number | undefined
}

const [narrow, reshape, permute, transpose, expand, to] = [
  aten("narrow"),
  aten("reshape"),
  aten("permute"),
  aten("transpose.int"),
  aten("expand"),
  aten("to.dtype")
]
const [baddbmm, bmm, logsumexp, exp, mul, sub, add, sum, newZeros, newEmpty] = [
  aten("baddbmm"),
  aten("bmm"),
  aten("logsumexp"),
  aten("exp"),
  aten("mul.Tensor"),
  aten("sub.Tensor"),
  aten("add.Scalar"),
  aten("sum.dim_IntList"),
  aten("new_zeros"),
  aten("new_empty")
]
const [ones, triu, tril, logicalOr, tanh, mulScalar, square] = [
  aten("ones"),
  aten("triu"),
  aten("tril"),
  aten("logical_or"),
  aten("tanh"),
  aten("mul.Scalar"),
  aten("square")
]
const [copyInto, addInto, subInto, expInto, maskInto] = [
  atenInPlace("copy_"),
  atenInPlace("add_.Tensor"),
  atenInPlace("sub_.Tensor"),
  atenInPlace("exp_"),
  atenInPlace("masked_fill_.Scalar")
]

/** [N, H, d] → the batch's [R, T, K, G, d]: query head h = K·G reads key head ⌊h / G⌋. */
const queryView = (x: Handle, { firstQuery, length, rows }: RowBatch, [keyHeads, group]: Heads): Handle =>
  reshape(narrow(x, 0, firstQuery, rows * length), [rows, length, keyHeads, group, -1])

/** [M, K, d] → the batch's [R·K, S, d]. */
const keyView = (x: Handle, { firstKey, keyLength, rows }: RowBatch, [keyHeads]: Heads): Handle => {
  const rowsOf = reshape(narrow(x, 0, firstKey, rows * keyLength), [rows, keyLength, keyHeads, -1])
  return reshape(permute(rowsOf, [0, 2, 1, 3]), [rows * keyHeads, keyLength, -1])
}

/** Key heads, and query heads that share one. */
type Heads = readonly [keyHeads: number, group: number]

/** A chunk of [R, T, K, G, d] → [R·K, G·C, d]. */
const chunkOf = (x: Handle, { count, start }: QueryChunk, { rows }: RowBatch, [keyHeads, group]: Heads): Handle =>
  reshape(permute(narrow(x, 1, start, count), [0, 2, 3, 1, 4]), [rows * keyHeads, group * count, -1])

/** The chunk's [R·K, G·C, …] back into its place in [R, T, K, G, …]. */
const putChunk = (target: Handle, x: Handle, chunk: QueryChunk, { rows }: RowBatch, [keyHeads, group]: Heads): void => {
  const parted = permute(reshape(x, [rows, keyHeads, group, chunk.count, -1]), [0, 3, 1, 2, 4])
  copyInto(narrow(target, 1, chunk.start, chunk.count), parted)
}

/** [C, S]: true where a query must not see a key; `undefined` where every query sees every key of the chunk. */
const hiddenKeys = (chunk: QueryChunk, window: number | undefined, device: string): Handle | undefined => {
  const { count, firstKey, keyCount, offset } = chunk
  const last = offset - firstKey
  const past = window !== undefined && last + count - 1 - window >= 0
  if (count === 1 && !past) return undefined
  const all = ones([count, keyCount], BOOL, undefined, device)
  const future = triu(all, last + 1)
  return past ? logicalOr(future, tril(all, last - window!)) : future
}

/** Scores of one chunk, float32 [R·K, G·C, S], soft-capped and masked. */
const chunkScores = (
  q: Handle,
  k: Handle,
  chunk: QueryChunk,
  [, group]: Heads,
  attrs: AttentionAttributes,
  scope: KernelScope
) => {
  const { scale, softCap, window } = attrs
  const keys = narrow(k, 1, chunk.firstKey, chunk.keyCount)
  // β = 0: the first operand only gives the shape.
  const products = baddbmm(expand(newEmpty(q, [1, 1, 1]), [1, 1, chunk.keyCount]), q, transpose(keys, 1, 2), 0, scale)
  const scores = to(products, FLOAT32)
  const squashed = softCap === undefined ? undefined : tanh(mulScalar(scores, 1 / softCap))
  const capped = squashed === undefined ? scores : mulScalar(squashed, softCap!)
  const hidden = hiddenKeys(chunk, window, scope.backend.device)
  if (hidden !== undefined) maskInto(reshape(capped, [-1, group, chunk.count, chunk.keyCount]), hidden, -Infinity)
  return { scores: capped, squashed }
}

const headsOf = (q: TensorInfo, k: TensorInfo): Heads => [k.shape[1]!, q.shape[1]! / k.shape[1]!]

/** {q, k, v} → [out, log of each query's normalizer]; queries outside every row get 0. */
export const attention: Kernel = (inputs: Record<"q" | "k" | "v", TensorInfo>, attrs: AttentionAttributes, scope) => {
  const [q, k, v] = [scope.of(inputs.q), scope.of(inputs.k), scope.of(inputs.v)]
  const heads = headsOf(inputs.q, inputs.k)
  const [tokens, headCount] = inputs.q.shape as [number, number]
  const out = newZeros(q, inputs.q.shape)
  const normalizers = newZeros(q, [tokens, headCount], FLOAT32)
  for (const batch of rowBatches(attrs.queries, attrs.keys)) {
    const [queries, keys, values] = [queryView(q, batch, heads), keyView(k, batch, heads), keyView(v, batch, heads)]
    const [outView, normalizerView] = [queryView(out, batch, heads), queryView(normalizers, batch, heads)]
    for (const chunk of queryChunks(batch, headCount, attrs.window)) {
      const { scores } = chunkScores(chunkOf(queries, chunk, batch, heads), keys, chunk, heads, attrs, scope)
      const normalizer = logsumexp(scores, [-1], true)
      subInto(scores, normalizer)
      expInto(scores)
      const visible = narrow(values, 1, chunk.firstKey, chunk.keyCount)
      putChunk(outView, bmm(to(scores, scope.backend.addon.scalarType(v)), visible), chunk, batch, heads)
      putChunk(normalizerView, normalizer, chunk, batch, heads)
    }
  }
  return [scope.out(out, "float32", inputs.q.shape), scope.out(normalizers, "float32", [tokens, headCount])]
}

type GradientInputs = Record<"q" | "k" | "v" | "out" | "logNormalizer" | "dy", TensorInfo>

/** {q, k, v, out, logNormalizer, dy} → [dq, dk, dv]. @see Dao et al. 2022, algorithm 4, https://arxiv.org/abs/2205.14135 */
export const attentionGradient: Kernel = (inputs: GradientInputs, attrs: AttentionAttributes, scope) => {
  const [q, k, v] = [scope.of(inputs.q), scope.of(inputs.k), scope.of(inputs.v)]
  const [out, dy] = [scope.of(inputs.out), to(scope.of(inputs.dy), scope.backend.addon.scalarType(q))]
  const heads = headsOf(inputs.q, inputs.k)
  const gradients = [newZeros(q, inputs.q.shape), newZeros(k, inputs.k.shape), newZeros(v, inputs.v.shape)] as const
  // Σ over d of dy·out: what every probability's slope is measured against.
  const shared = sum(mul(to(dy, FLOAT32), to(out, FLOAT32)), [-1], true)
  for (const batch of rowBatches(attrs.queries, attrs.keys)) {
    const operands = {
      queries: queryView(q, batch, heads),
      keys: keyView(k, batch, heads),
      values: keyView(v, batch, heads),
      slopes: queryView(dy, batch, heads),
      shared: queryView(shared, batch, heads),
      normalizers: queryView(scope.of(inputs.logNormalizer), batch, heads)
    }
    batchGradient(operands, gradients, batch, heads, attrs, scope)
  }
  return [
    scope.out(gradients[0], "float32", inputs.q.shape),
    scope.out(gradients[1], "float32", inputs.k.shape),
    scope.out(gradients[2], "float32", inputs.v.shape)
  ]
}

type Operands = Record<"queries" | "keys" | "values" | "slopes" | "shared" | "normalizers", Handle>

const batchGradient = (
  operands: Operands,
  [dq, dk, dv]: readonly [Handle, Handle, Handle],
  batch: RowBatch,
  heads: Heads,
  attrs: AttentionAttributes,
  scope: KernelScope
): void => {
  const { keys, values } = operands
  const type = scope.backend.addon.scalarType(keys)
  const [keySums, valueSums] = [
    newZeros(keys, scope.backend.addon.shape(keys), FLOAT32),
    newZeros(values, scope.backend.addon.shape(values), FLOAT32)
  ]
  const dqView = queryView(dq, batch, heads)
  for (const chunk of queryChunks(batch, heads[0] * heads[1], attrs.window)) {
    const part = (x: Handle) => chunkOf(x, chunk, batch, heads)
    const [query, slope] = [part(operands.queries), part(operands.slopes)]
    const visible = (x: Handle) => narrow(x, 1, chunk.firstKey, chunk.keyCount)
    const { scores, squashed } = chunkScores(query, keys, chunk, heads, attrs, scope)
    const probabilities = exp(sub(scores, part(operands.normalizers)))
    addInto(visible(valueSums), bmm(transpose(to(probabilities, type), 1, 2), slope))
    const slopes = to(bmm(slope, transpose(visible(values), 1, 2)), FLOAT32)
    subInto(slopes, part(operands.shared))
    const scoreSlopes = mul(probabilities, slopes)
    const raw = squashed === undefined ? scoreSlopes : mul(scoreSlopes, add(mulScalar(square(squashed), -1), 1))
    const delta = to(mulScalar(raw, attrs.scale), type)
    putChunk(dqView, bmm(delta, visible(keys)), chunk, batch, heads)
    addInto(visible(keySums), bmm(transpose(delta, 1, 2), query))
  }
  putKeys(dk, keySums, batch, heads)
  putKeys(dv, valueSums, batch, heads)
}

/** [R·K, S, d] into the batch's rows of [M, K, d]. */
const putKeys = (target: Handle, x: Handle, { firstKey, keyLength, rows }: RowBatch, [keyHeads]: Heads): void => {
  const rowsOf = reshape(narrow(target, 0, firstKey, rows * keyLength), [rows, keyLength, keyHeads, -1])
  copyInto(rowsOf, permute(reshape(x, [rows, keyHeads, keyLength, -1]), [0, 2, 1, 3]))
}
