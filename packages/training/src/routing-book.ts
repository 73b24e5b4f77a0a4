import type { RoutingTap } from "@plumbline/models"
import type { TokenRows } from "@plumbline/data"
import { addedGradient, detached, type ProcessesShape, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"

/** What the mixtures of a model did in some passes, over all pairs of a token and a layer. */
interface Entry {
  /** [E] how often each expert was chosen */
  readonly chosen: Tensor1D
  /** [E] the sums of their probabilities */
  readonly probabilities: Tensor1D
  readonly pairs: number
}

/** Keeps account of what the mixtures of one model do in the losses of a step, and adds to their gradient. */
export interface RoutingBook {
  readonly tap: RoutingTap
  /** Writes down what is routed from now on. */
  readonly open: () => void
  /** What is routed from now on counts for nothing, and has no gradient of this. */
  readonly rest: () => void
  /** What was routed since; undefined where no mixture was run. */
  readonly close: () => Entry | undefined
  /** Adds to the choices and pairs of the whole step, which values and gradients are made with. */
  readonly settle: (entry: Entry) => void
  /** What is settled becomes that of all processes together. */
  readonly share: (exchange: ProcessesShape["exchange"]) => void
  readonly isSettled: () => boolean
  /** [1] E · Σ_e (C_e / T) · (P_e / T), C and T of the whole step */
  readonly value: (entry: Entry) => Tensor1D
  /** Forgets the step. */
  readonly forget: () => void
}

/** @param weight of the loss whose gradient joins that of the probabilities */
export const routingBook = (weight: number): RoutingBook => {
  let page: Array<Entry> | undefined
  let isResting = false
  let settled: Pick<Entry, "chosen" | "pairs"> | undefined
  const scaled = (factor: number) => {
    const { chosen, pairs } = settled!
    return tf.mul(chosen, (factor * chosen.size) / pairs ** 2)
  }
  return {
    tap: ({ isChosen, probabilities, rows }) => {
      page?.push(entryOf(probabilities, isChosen, rows))
      return addedGradient(probabilities, () => {
        if (isResting) return tf.zeros([1, probabilities.shape[1]])
        const slope = tf.reshape(scaled(weight), [1, -1])
        return hasPadding(rows) ? tf.mul(slope, tokenMask(rows)) : slope
      })
    },
    open: () => {
      page = []
      isResting = false
    },
    rest: () => {
      page = undefined
      isResting = true
    },
    close: () => {
      const entries = page ?? []
      page = undefined
      return entries.length === 0 ? undefined : summed(entries)
    },
    settle: ({ chosen, pairs }) => {
      const before = settled
      const total = before === undefined ? tf.clone(chosen) : tf.add(before.chosen, chosen)
      settled = { chosen: tf.keep(total as Tensor1D), pairs: pairs + (before?.pairs ?? 0) }
      before?.chosen.dispose()
    },
    share: (exchange) => {
      const own = settled && { chosen: settled.chosen.dataSync() as Float32Array, pairs: settled.pairs }
      const all = exchange(own).filter((each) => each !== undefined)
      settled?.chosen.dispose()
      settled = all.length === 0 ? undefined : added(all)
    },
    isSettled: () => settled !== undefined,
    value: ({ probabilities }) => tf.tidy(() => tf.sum(tf.mul(scaled(1), probabilities), 0, true) as Tensor1D),
    forget: () => {
      disposeAll(page ?? [])
      page = undefined
      settled?.chosen.dispose()
      settled = undefined
    }
  }
}

const entryOf = (probabilities: Tensor2D, isChosen: Tensor2D, rows: TokenRows): Entry => {
  const mask = hasPadding(rows) ? tokenMask(rows) : undefined
  const total = (x: Tensor2D) =>
    // a block's own tensors end with it
    tf.keep(detached(() => tf.tidy(() => tf.sum(mask === undefined ? x : tf.mul(x, mask), 0) as Tensor1D)))
  const sums = { chosen: total(isChosen), probabilities: total(probabilities) }
  mask?.dispose()
  return { ...sums, pairs: tokensOf(rows) }
}

/** Takes the entries over. */
const summed = (entries: ReadonlyArray<Entry>): Entry => {
  const total = (part: "chosen" | "probabilities") => detached(() => tf.addN(entries.map((entry) => entry[part])))
  const sums = { chosen: total("chosen"), probabilities: total("probabilities") }
  disposeAll(entries)
  return { ...sums, pairs: entries.reduce((sum, { pairs }) => sum + pairs, 0) }
}

const added = (all: ReadonlyArray<{ readonly chosen: Float32Array; readonly pairs: number }>) => {
  const chosen = all[0]!.chosen.map((_, expert) => all.reduce((sum, each) => sum + each.chosen[expert]!, 0))
  return { chosen: tf.keep(tf.tensor1d(chosen)), pairs: all.reduce((sum, { pairs }) => sum + pairs, 0) }
}

const disposeAll = (entries: ReadonlyArray<Entry>): void =>
  tf.dispose(entries.flatMap(({ chosen, probabilities }) => [chosen, probabilities]))

const tokensOf = ({ lengths }: TokenRows): number => lengths.reduce((total, length) => total + length, 0)

const hasPadding = (rows: TokenRows): boolean => tokensOf(rows) < rows.tokens.length

/** [N, 1] 1 for tokens of rows, 0 for padding. */
const tokenMask = ({ lengths, starts, tokens }: TokenRows): Tensor2D => {
  const mask = new Float32Array(tokens.length)
  starts.forEach((start, row) => mask.fill(1, start, start + lengths[row]!))
  return tf.tensor2d(mask, [tokens.length, 1])
}
