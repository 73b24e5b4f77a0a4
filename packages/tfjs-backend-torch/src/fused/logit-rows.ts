import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { launch, packWidth } from "./cuda/kernels.ts"
import type { LogitOptions } from "./token-log-probs.ts"
import { wide } from "./storage.ts"

/** Logits of some rows: [count, V]. */
interface Rows {
  readonly count: number
  readonly logits: Handle
  readonly targets: Handle
  readonly T: string | undefined
}

const THREADS = 1024

const [div, tanh, sub, gather, unsqueeze, squeeze, logsumexp, sum, argmax, eq, to, rsub, square] = [
  aten("div.Scalar"),
  aten("tanh"),
  aten("sub.Tensor"),
  aten("gather"),
  aten("unsqueeze"),
  aten("squeeze.dim"),
  aten("logsumexp"),
  aten("sum.dim_IntList"),
  aten("argmax"),
  aten("eq.Tensor"),
  aten("to.dtype"),
  aten("rsub.Scalar"),
  aten("square")
]
const [copyInto, scatter, subInPlace, expInPlace, mulInPlace, scaleInPlace] = [
  atenInPlace("copy_"),
  atenInPlace("scatter_add_"),
  atenInPlace("sub_.Tensor"),
  atenInPlace("exp_"),
  atenInPlace("mul_.Tensor"),
  atenInPlace("mul_.Scalar")
]
const scaled = aten("mul.Scalar")
const fullLike = aten("full_like")

/** Logits after soft cap and temperature, float32, and the tanh of the cap. */
const cappedLogits = (logits: Handle, { softCap, temperature }: LogitOptions, scope: KernelScope) => {
  const raw = wide(logits, scope)
  const squashed = softCap === 0 ? undefined : tanh(div(raw, softCap))
  const capped = squashed === undefined ? raw : scaled(squashed, softCap)
  return { values: temperature === 1 ? capped : div(capped, temperature), squashed }
}

/** Fills [log-probs, entropy, correct, log-normalizers], [count] float32 each. */
export const logitStatistics = (
  { T, count, logits, targets }: Rows,
  lines: ReadonlyArray<Handle>,
  options: LogitOptions,
  scope: KernelScope
): void => {
  const width = scope.backend.addon.shape(logits)[1]!
  const { softCap, temperature } = options
  if (T !== undefined) {
    const args = [logits, targets, ...lines, width, temperature, softCap]
    const macros = { T, W: packWidth(width) }
    launch("logitStatistics", { blocks: count, threads: THREADS, macros, args }, scope)
    return
  }
  const { values } = cappedLogits(logits, options, scope)
  const normalizer = logsumexp(values, [1])
  const ofTarget = squeeze(gather(values, 1, unsqueeze(targets, 1)), 1)
  const probabilities = sub(values, unsqueeze(normalizer, 1))
  expInPlace(probabilities)
  mulInPlace(probabilities, values)
  const results = [
    sub(ofTarget, normalizer),
    sub(normalizer, sum(probabilities, [1])),
    to(eq(argmax(values, 1), targets), FLOAT32),
    normalizer
  ]
  results.forEach((result, i) => copyInto(lines[i]!, result))
}

interface Slopes {
  readonly logNormalizer: Handle
  /** [count]; 1 for every row where absent */
  readonly factors: Handle | undefined
}

/** Turns the logits into factor · (onehot − softmax) · slope of cap and temperature, in place. */
export const logitSlopes = (
  { T, count, logits, targets }: Rows,
  { factors, logNormalizer }: Slopes,
  options: LogitOptions,
  scope: KernelScope
): void => {
  const width = scope.backend.addon.shape(logits)[1]!
  const { softCap, temperature } = options
  if (T !== undefined) {
    const args = [logits, targets, logNormalizer, factors ?? null, width, temperature, softCap]
    const macros = { T, W: packWidth(width) }
    launch("logitSlopes", { blocks: count, threads: THREADS, macros, args }, scope)
    return
  }
  const { squashed, values } = cappedLogits(logits, options, scope)
  const slopes = values === logits ? logits : values
  subInPlace(slopes, unsqueeze(logNormalizer, 1))
  expInPlace(slopes)
  scaleInPlace(slopes, -1)
  const column = unsqueeze(targets, 1)
  scatter(slopes, 1, column, fullLike(gather(slopes, 1, column), 1))
  if (factors !== undefined) mulInPlace(slopes, unsqueeze(factors, 1))
  if (temperature !== 1) scaleInPlace(slopes, 1 / temperature)
  if (squashed !== undefined) mulInPlace(slopes, rsub(square(squashed), 1))
  if (slopes !== logits) copyInto(logits, slopes)
}
