import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { sameStorage } from "../kernels/matmul.ts"
import { FLOAT32, INT64 } from "../scalar-type.ts"

interface Attributes {
  readonly targets: Int32Array
  readonly temperature: number
  /** 0 for none */
  readonly softCap: number
  readonly withSlopes: boolean
}

type Inputs = Record<"hidden" | "weight" | "logNormalizer" | "dy", TensorInfo>

/** Bytes that the logits of one chunk may take, on the host and on a GPU. */
const CHUNK_BYTES = { host: 2 ** 26, cuda: 2 ** 30 }

const [linear, narrow, to, logsumexp, gather, argmax, eq, exp, sub, mul, sum] = [
  aten("linear"),
  aten("narrow"),
  aten("to.dtype"),
  aten("logsumexp"),
  aten("gather"),
  aten("argmax"),
  aten("eq.Tensor"),
  aten("exp"),
  aten("sub.Tensor"),
  aten("mul.Tensor"),
  aten("sum.dim_IntList")
]
const [tanh, mulScalar, addScalar, square, unsqueeze, squeeze, mm, t, newEmpty, newZeros, neg] = [
  aten("tanh"),
  aten("mul.Scalar"),
  aten("add.Scalar"),
  aten("square"),
  aten("unsqueeze"),
  aten("squeeze.dim"),
  aten("mm"),
  aten("t"),
  aten("new_empty"),
  aten("new_zeros"),
  aten("neg")
]
const [copyInto, addmmInto, scatterAddInto, ones, mulInto] = [
  atenInPlace("copy_"),
  atenInPlace("addmm_"),
  atenInPlace("scatter_add_"),
  aten("new_ones"),
  atenInPlace("mul_.Tensor")
]

/** One chunk of tokens. */
interface Chunk {
  readonly start: number
  readonly count: number
  /** [C, D] */
  readonly states: Handle
  readonly weight: Handle
  /** [C, 1] int64 */
  readonly targets: Handle
  /** [C, V] float32, after soft cap and temperature */
  readonly logits: Handle
  /** d logit / d (hidden·Wᵀ) over 1 / temperature, where there is a soft cap */
  readonly capSlope: Handle | undefined
}

const eachChunk = (
  inputs: Inputs,
  { softCap, targets, temperature }: Attributes,
  scope: KernelScope,
  body: (chunk: Chunk) => void
): void => {
  const [hidden, weight] = sameStorage(scope.of(inputs.hidden), scope.of(inputs.weight), scope)
  const vocabulary = inputs.weight.shape[0]!
  const bytes = scope.backend.cuda === undefined ? CHUNK_BYTES.host : CHUNK_BYTES.cuda
  const size = Math.max(1, Math.min(targets.length, Math.floor(bytes / 4 / vocabulary)))
  const ids = scope.upload(targets, [targets.length, 1], INT64)
  for (let start = 0; start < targets.length; start += size) {
    const count = Math.min(size, targets.length - start)
    // A scope of its own: the chunk's logits are gone before the next one's are made.
    scope.nested(() => {
      const states = narrow(hidden, 0, start, count)
      const raw = to(linear(states, weight), FLOAT32)
      const squashed = softCap === 0 ? undefined : tanh(mulScalar(raw, 1 / softCap))
      const capped = squashed === undefined ? raw : mulScalar(squashed, softCap)
      const logits = temperature === 1 ? capped : mulScalar(capped, 1 / temperature)
      const capSlope = squashed === undefined ? undefined : addScalar(neg(square(squashed)), 1)
      body({ start, count, states, weight, targets: narrow(ids, 0, start, count), logits, capSlope })
    })
  }
}

/** (onehot(target) − softmax)·factor, chained back to hidden·Wᵀ: [C, V] in the storage of the product's operands. */
const logitSlopes = (
  { capSlope, count, logits, states, targets }: Chunk,
  normalizer: Handle,
  factor: Handle | undefined,
  temperature: number,
  scope: KernelScope
): Handle => {
  const slopes = neg(exp(sub(logits, normalizer)))
  scatterAddInto(slopes, 1, targets, ones(slopes, [count, 1]))
  if (factor !== undefined) mulInto(slopes, factor)
  if (capSlope !== undefined) mulInto(slopes, capSlope)
  const chained = temperature === 1 ? slopes : mulScalar(slopes, 1 / temperature)
  return to(chained, scope.backend.addon.scalarType(states))
}

/** {hidden, weight} → [log-probs, entropy, correct, log of the normalizer] and, `withSlopes`, each log-prob's [M, D] slope. */
export const tokenLogProbs: Kernel = (inputs: Inputs, attrs: Attributes, scope) => {
  const count = attrs.targets.length
  const hidden = scope.of(inputs.hidden)
  const lines = [0, 1, 2, 3].map(() => newEmpty(hidden, [count], FLOAT32)) as [Handle, Handle, Handle, Handle]
  const slopes = attrs.withSlopes ? newEmpty(hidden, inputs.hidden.shape) : undefined
  eachChunk(inputs, attrs, scope, (chunk) => {
    const { logits, targets } = chunk
    const normalizer = logsumexp(logits, [1], true)
    const expected = sum(mul(exp(sub(logits, normalizer)), logits), [1], true)
    const statistics = [
      sub(gather(logits, 1, targets), normalizer),
      sub(normalizer, expected),
      eq(argmax(logits, 1, true), targets),
      normalizer
    ]
    lines.forEach((line, i) => copyInto(narrow(line, 0, chunk.start, chunk.count), squeeze(statistics[i], 1)))
    if (slopes === undefined) return
    const delta = logitSlopes(chunk, normalizer, undefined, attrs.temperature, scope)
    copyInto(narrow(slopes, 0, chunk.start, chunk.count), mm(delta, chunk.weight))
  })
  const outputs = lines.map((line) => scope.out(line, "float32", [count]))
  return slopes === undefined ? outputs : [...outputs, scope.out(slopes, "float32", inputs.hidden.shape)]
}

/** {hidden, weight, logNormalizer, dy} → dweight, from each chunk's logits made again. */
export const tokenLogProbsWeightGradient: Kernel = (inputs: Inputs, attrs: Attributes, scope) => {
  const gradient = newZeros(scope.of(inputs.weight), inputs.weight.shape)
  const [normalizers, dy] = [inputs.logNormalizer, inputs.dy].map((tensor) => unsqueeze(scope.of(tensor), 1)) as [
    Handle,
    Handle
  ]
  eachChunk(inputs, attrs, scope, (chunk) => {
    const part = (x: Handle) => narrow(x, 0, chunk.start, chunk.count)
    const delta = logitSlopes(chunk, part(normalizers), part(dy), attrs.temperature, scope)
    addmmInto(gradient, t(delta), to(chunk.states, scope.backend.addon.scalarType(gradient)))
  })
  return scope.out(gradient, "float32", inputs.weight.shape)
}
