import { CHOOSE_EXPERTS, COLLECT_ROWS, DISPATCH_ROWS, EXPERT_ORDER, fused, hasKernel } from "../kernels/names.ts"
import { sameAs } from "../kernels/plain-ops.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { addRowsById } from "./add-by-row.ts"
import { detached } from "./detached.ts"
import { gatherRows } from "./embedding.ts"

// The ways of N tokens to the experts of a mixture, k each, and back. Where a backend has kernels for it nobody learns which
// expert a token went to but the device.

/** Whether tokens find their experts without the host. */
export const routesOnDevice = (): boolean => hasKernel(EXPERT_ORDER)

export interface ExpertChoice {
  /** [N, k] int32 the k likeliest experts of each token, ascending; of equally likely ones the first. Constants. */
  readonly chosen: Tensor2D
  /** [N, k] float32 their probabilities, or those over their sum. */
  readonly shares: Tensor2D
}

/**
 * The experts that tokens go to.
 *
 * @param probabilities [N, E] float32
 * @param perToken      k, E at most
 * @param renormalised  whether a token's shares add up to 1
 */
export const chooseExperts = (probabilities: Tensor2D, perToken: number, renormalised: boolean): ExpertChoice => {
  if (!hasKernel(CHOOSE_EXPERTS)) return composedChoice(probabilities, perToken, renormalised)
  const attrs = { perToken, renormalised }
  const [chosen, shares] = fused<Array<Tensor>>(CHOOSE_EXPERTS, { probabilities }, attrs)
  // what is computed of the choice has no gradient
  return { chosen: detached(() => sameAs(chosen as Tensor2D)), shares: shares as Tensor2D }
}

export const composedChoice: typeof chooseExperts = (probabilities, perToken, renormalised) => {
  const experts = probabilities.shape[1]
  const chosen = detached(() => tf.tidy(() => ascending(tf.topk(probabilities, perToken).indices as Tensor2D)))
  const shares = tf.tidy(() => {
    const own = tf.sum(tf.mul(tf.expandDims(probabilities, 1), placesOf(chosen, experts)), 2) as Tensor2D
    return renormalised ? tf.div<Tensor2D>(own, tf.sum(own, 1, true)) : own
  })
  return { chosen, shares }
}

const ascending = (ids: Tensor2D): Tensor2D => {
  const back = tf.neg(tf.cast(ids, "float32"))
  return tf.cast(tf.neg(tf.topk(back, ids.shape[1]).values), "int32") as Tensor2D
}

/** [N, k] → [N, k, E] 1 at the place of each expert, else 0 */
const placesOf = (chosen: Tensor2D, experts: number): Tensor =>
  // of integers: wasm's of floats are not numbers; and no range, whose values would cross to the device
  tf.slice(tf.cast(tf.oneHot(chosen, Math.max(2, experts), 1, 0, "int32"), "float32"), [0, 0, 0], [-1, -1, experts])

/** @returns [N, E] what each expert counts for: its share, and 0 where it is not chosen */
export const sharesOfAll = ({ chosen, shares }: ExpertChoice, experts: number): Tensor2D =>
  tf.tidy(() => tf.sum(tf.mul(tf.expandDims(shares, 2), placesOf(chosen, experts)), 1) as Tensor2D)

interface Routed {
  readonly tokens: number
  readonly perToken: number
}

/** Which row is whose, known to the device. */
interface DeviceRows extends Routed {
  /** [N·k] int32 n·k + j of each row: it is token n's, and expert chosen[n, j]'s */
  readonly order: Tensor1D
  /** [N·k] int32 the row of each n·k + j */
  readonly places: Tensor1D
  /** The rows of each expert. */
  readonly groups: { readonly ends: Tensor1D }
}

/** The same, known to the host. */
export interface HostExpertRows extends Routed {
  readonly hostOrder: Int32Array
  /** [N·k] n of each row */
  readonly rowTokens: Int32Array
  readonly groups: { readonly counts: ReadonlyArray<number> }
}

/** N·k rows, one for each token and each of its experts: those of an expert side by side, in the order of their tokens. */
export type ExpertRows = DeviceRows | HostExpertRows

/** Of tokens that go to these experts, [N, k] int32; on the device where it can. */
export const expertRows = (chosen: Tensor2D, experts: number): ExpertRows => {
  if (!hasKernel(EXPERT_ORDER)) return hostExpertRows(chosen, experts)
  const [tokens, perToken] = chosen.shape
  const [order, places, ends] = fused<Array<Tensor>>(
    EXPERT_ORDER,
    { chosen },
    { experts }
  ) as ReadonlyArray<Tensor> as [Tensor1D, Tensor1D, Tensor1D]
  return { tokens, perToken, groups: { ends }, order, places }
}

/** Waits for the device once, to read the choice. */
export const hostExpertRows = (chosen: Tensor2D, experts: number): HostExpertRows => {
  const [tokens, perToken] = chosen.shape
  const ids = chosen.dataSync() as Int32Array
  const counts = Array.from({ length: experts }, () => 0)
  for (const expert of ids) counts[expert]! += 1
  const next: Array<number> = []
  counts.reduce((first, count) => (next.push(first), first + count), 0)
  const [hostOrder, rowTokens] = [new Int32Array(ids.length), new Int32Array(ids.length)]
  ids.forEach((expert, i) => {
    const row = next[expert]!++
    hostOrder[row] = i
    rowTokens[row] = Math.floor(i / perToken)
  })
  return { tokens, perToken, groups: { counts }, hostOrder, rowTokens }
}

/** @param x [N, D] @returns [N·k, D] the tokens' rows, in the order of experts */
export const dispatchRows = (x: Tensor2D, rows: ExpertRows): Tensor2D => {
  if ("hostOrder" in rows) return gatherRows(x, rows.rowTokens)
  const { order, perToken, places } = rows
  return fused<Tensor2D>(DISPATCH_ROWS, { x, order, places }, { perToken })
}

/**
 * The sum of what a token's experts give, added up in float32 in their order.
 *
 * @param y      [N·k, D] in the order of experts
 * @param shares [N, k] float32 what each counts for
 * @returns      [N, D]
 */
export const collectRows = (y: Tensor2D, shares: Tensor2D, rows: ExpertRows): Tensor2D => {
  if ("hostOrder" in rows) {
    const { hostOrder, rowTokens, tokens } = rows
    return tf.tidy(() => {
      const factors = gatherRows(tf.reshape(shares, [-1, 1]) as Tensor2D, hostOrder)
      return addRowsById(tf.mul(y, factors), rowTokens, tokens)
    })
  }
  const { order, perToken, places } = rows
  return fused<Tensor2D>(COLLECT_ROWS, { y, places, shares, order }, { perToken })
}
