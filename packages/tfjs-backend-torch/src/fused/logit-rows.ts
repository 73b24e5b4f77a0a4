import type { Handle } from "../addon.ts"
import { aten, atenAll, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { HELD_THREADS, heldParts } from "./cuda/held-logits.ts"
import { launch, packWidth } from "./cuda/kernels.ts"
import { cast, isHostReal, wide } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

export interface LogitOptions {
  readonly targets: Int32Array
  readonly temperature: number
  /** 0 for none */
  readonly softCap: number
  readonly withSlopes: boolean
}

/** Logits of some rows: [count, V], on CUDA at any distance from each other. */
interface Rows {
  readonly count: number
  readonly logits: Handle
  readonly targets: Handle
  readonly T: string | undefined
}

/** Two blocks a multiprocessor, as the kernels are bounded to: with more rows under way less of each would be in the cache. */
const THREADS = 512

const [div, tanh, sub, gather, unsqueeze, squeeze, softmax, log, matmul, eq, to, rsub, square, exp, scaled, fullLike] =
  [
    aten("div.Scalar"),
    aten("tanh"),
    aten("sub.Tensor"),
    aten("gather"),
    aten("unsqueeze"),
    aten("squeeze.dim"),
    aten("softmax.int"),
    aten("log"),
    aten("matmul"),
    aten("eq.Tensor"),
    aten("to.dtype"),
    aten("rsub.Scalar"),
    aten("square"),
    aten("exp"),
    aten("mul.Scalar"),
    aten("full_like")
  ]
const maximum = atenAll("max.dim")
const [copyInto, scatter, mulInPlace, scaleInPlace] = [
  atenInPlace("copy_"),
  atenInPlace("scatter_add_"),
  atenInPlace("mul_.Tensor"),
  atenInPlace("mul_.Scalar")
]

/** Logits after soft cap and temperature, float32, and the tanh of the cap. */
const cappedLogits = (logits: Handle, { softCap, temperature }: LogitOptions) => {
  const raw = wide(logits)
  const squashed = softCap === 0 ? undefined : tanh(div(raw, softCap))
  const capped = squashed === undefined ? raw : scaled(squashed, softCap)
  return { values: temperature === 1 ? capped : div(capped, temperature), squashed }
}

/** Consumed by `logitSlopes`. */
interface Prepared {
  readonly probabilities?: Handle
  /** Those of factors of 1. */
  readonly slopes?: Handle
}

/**
 * Fills [log-probs, entropy, correct, log-normalizers], [count] float32 each.
 *
 * @returns what was made on the way of what `logitSlopes` needs
 */
export const logitStatistics = (
  rows: Rows,
  lines: ReadonlyArray<Handle>,
  options: LogitOptions,
  scope: KernelScope
): Prepared => {
  const { T, count, logits, targets } = rows
  if (T === undefined && isOnePass(rows, options, scope)) {
    const [logProbs, entropies, correct, normalizers] = lines as [Handle, Handle, Handle, Handle]
    const { temperature, withSlopes } = options
    scope.backend.addon.logitRows(
      logits,
      targets,
      logProbs,
      entropies,
      correct,
      normalizers,
      null,
      temperature,
      withSlopes
    )
    return withSlopes ? { slopes: logits } : {}
  }
  if (T === undefined) return { probabilities: composedStatistics(rows, lines, options) }
  const { macros, numbers } = rowsOf(rows, options, scope)
  const args = [logits, targets, ...lines, ...numbers, options.temperature, options.softCap]
  const withSlopes = options.withSlopes ? 1 : 0
  const held = heldRows(rows, macros.W, scope)
  if (held === undefined) {
    launch(
      "logitStatistics",
      { blocks: count, threads: THREADS, macros: { ...macros, WITH_SLOPES: withSlopes }, args },
      scope
    )
  } else {
    const { bytes: ROOM, parts: PARTS } = held
    const all = { ...macros, WITH_SLOPES: withSlopes, PARTS, ROOM }
    launch("heldLogits", { blocks: count * PARTS, threads: HELD_THREADS, macros: all, args }, scope)
  }
  return options.withSlopes ? { slopes: logits } : {}
}

/**
 * How blocks of a cluster hold a row, where there are clusters and it is not too long; whether slopes are asked for or not, so
 * that the statistics have the same bits.
 */
const heldRows = ({ logits }: Rows, W: number, { backend }: KernelScope) => {
  if (backend.cuda!.capability < 90) return undefined
  const width = backend.addon.shape(logits)[1]!
  return heldParts(Math.ceil(width / W), W * (typeOf(logits) === FLOAT32 ? 4 : 2))
}

/** Whether one pass of our own makes statistics and slopes on the CPU, while a row is at hand. */
const isOnePass = ({ logits }: Rows, { softCap }: LogitOptions, scope: KernelScope): boolean =>
  softCap === 0 && isHostReal(logits, scope)

/** How our kernels read the rows: packs that go beyond a row's end where the next one begins later. */
const rowsOf = ({ T, logits }: Rows, { softCap }: LogitOptions, { backend }: KernelScope) => {
  const [width, step] = [backend.addon.shape(logits)[1]!, backend.addon.strides(logits)[0]!]
  return { macros: { T: T!, W: packWidth(step), CAP: softCap === 0 ? 0 : 1 }, numbers: [width, step] }
}

/** The most likely token's probability is never 0, so the normalizer is read off it. */
const composedStatistics = ({ logits, targets }: Rows, lines: ReadonlyArray<Handle>, options: LogitOptions): Handle => {
  const { values } = cappedLogits(logits, options)
  const probabilities = softmax(values, 1)
  const [most, winner] = maximum(values, 1) as [Handle, Handle]
  const normalizer = sub(most, log(squeeze(gather(probabilities, 1, unsqueeze(winner, 1)), 1)))
  const expected = squeeze(squeeze(matmul(unsqueeze(probabilities, 1), unsqueeze(values, 2)), 2), 1)
  const ofTarget = squeeze(gather(values, 1, unsqueeze(targets, 1)), 1)
  const results = [sub(ofTarget, normalizer), sub(normalizer, expected), to(eq(winner, targets), FLOAT32), normalizer]
  results.forEach((result, i) => copyInto(lines[i]!, result))
  return probabilities
}

interface Known {
  readonly logNormalizer: Handle
  /** [count]; 1 for every row where absent */
  readonly factors: Handle | undefined
  /** What `logitStatistics` returned, where it was asked. */
  readonly prepared: Prepared
}

/** factor · (onehot − softmax) · slope of cap and temperature, in place of the logits or of the probabilities. */
export const logitSlopes = (rows: Rows, known: Known, options: LogitOptions, scope: KernelScope): Handle => {
  const { T, count, logits, targets } = rows
  if (known.prepared.slopes !== undefined) return known.prepared.slopes
  if (T === undefined && isOnePass(rows, options, scope)) {
    const { factors = null } = known
    scope.backend.addon.logitRows(logits, targets, null, null, null, null, factors, options.temperature, true)
    return logits
  }
  if (T === undefined) return composedSlopes(rows, known, options)
  const { macros, numbers } = rowsOf(rows, options, scope)
  const args = [
    logits,
    targets,
    known.logNormalizer,
    known.factors ?? null,
    ...numbers,
    options.temperature,
    options.softCap
  ]
  launch("logitSlopes", { blocks: count, threads: THREADS, macros, args }, scope)
  return logits
}

const composedSlopes = (
  { logits, targets }: Rows,
  { factors, logNormalizer, prepared: { probabilities } }: Known,
  options: LogitOptions
): Handle => {
  const { softCap, temperature } = options
  const capped = probabilities === undefined || softCap !== 0 ? cappedLogits(logits, options) : undefined
  const slopes = probabilities ?? exp(sub(capped!.values, unsqueeze(logNormalizer, 1)))
  scaleInPlace(slopes, -1)
  const column = unsqueeze(targets, 1)
  scatter(slopes, 1, column, fullLike(gather(slopes, 1, column), 1))
  if (factors !== undefined) mulInPlace(slopes, unsqueeze(factors, 1))
  if (temperature !== 1) scaleInPlace(slopes, 1 / temperature)
  if (capped?.squashed !== undefined) mulInPlace(slopes, rsub(square(capped.squashed), 1))
  return cast(slopes, typeOf(logits))
}
