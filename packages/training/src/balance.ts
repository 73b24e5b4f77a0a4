import { hasMixtures, type Model, tapped } from "@plumbline/models"
import { type ProcessesShape, type Tensor1D, tf } from "@plumbline/runtime"
import type { Trainable } from "./algorithm.ts"
import type { LossSums, Unit } from "./objective.ts"
import type { TrainingOptions } from "./options.ts"
import { type RoutingBook, routingBook } from "./routing-book.ts"

/** The loss of a micro-batch. What of it is not the process's own is made for the other processes' sake, and counts for nothing. */
interface Pass {
  readonly loss: () => LossSums
  readonly isOwn: boolean
}

/** Keeps the experts of models that are mixtures about equally busy. */
export interface Balance<M extends Trainable> {
  /** Those that a loss is to be computed with. */
  readonly models: M
  /** The counts with that of this loss. */
  readonly counted: (counts: Readonly<Record<Unit, number>>) => Readonly<Record<Unit, number>>
  /** Runs the losses of this process's micro-batches for how often each expert is chosen in those of all, which each has to know. */
  readonly measure: (passes: ReadonlyArray<Pass>, processes: ProcessesShape) => void
  /** A micro-batch's loss with this one; measured before, or the only one. @param units of data in it, which the value is spread over */
  readonly loss: (pass: Pass, units: number) => LossSums
  /** Forgets the step. */
  readonly end: () => void
}

/** Where neither the user nor config.json names one: TRL's. */
const DEFAULT_WEIGHT = 0.001

/** What the user says, else config.json. */
export const balanceWeight =
  ({ routerAuxLossCoef }: Pick<TrainingOptions, "routerAuxLossCoef">) =>
  ({ config }: Model): number =>
    routerAuxLossCoef ?? config.balance ?? DEFAULT_WEIGHT

/** There is one such loss a step. */
const UNIT: Unit = "balance"

/**
 * The auxiliary loss of mixtures of E experts, over all T pairs of a token and a layer of the global batch:
 *
 *   L = w · E · Σ_e (C_e / T) · (P_e / T)
 *
 * with C_e how often expert e is among a token's k, a constant, and P_e the sum of its probabilities: transformers'
 * `load_balancing_loss_func`. Its gradient, w·E·C_e/T² for each probability, joins the router's own where that is made, in the
 * backward pass: so any objective has the loss, and blocks that are computed again have it, too.
 *
 * @param weightOf w of a model; 0 where it is to have none of this
 * @returns undefined where no model has any
 * @see Fedus et al. 2021, https://arxiv.org/abs/2101.03961, equations (4) to (6)
 */
export const balanceOf = <M extends Trainable>(
  models: M,
  weightOf: (model: Model) => number
): Balance<M> | undefined => {
  const shares = Object.entries(models).flatMap(([role, model]) => {
    const weight = hasMixtures(model) ? weightOf(model) : 0
    return weight > 0 ? [{ role, weight, book: routingBook(weight) }] : []
  })
  if (shares.length === 0) return undefined
  const begin = (isOwn: boolean) => {
    for (const { book } of shares)
      if (isOwn) book.open()
      else book.rest()
  }
  const own = shares.map(({ book, role }) => [role, tapped(models[role]!, book.tap)] as const)
  return {
    models: { ...models, ...Object.fromEntries(own) },
    counted: (counts) => ({ ...counts, [UNIT]: 1 }),
    measure: (passes, { exchange, size }) => {
      for (const { isOwn, loss } of passes) {
        tf.tidy(() => {
          begin(isOwn)
          loss()
          for (const { book } of shares) settle(book, book.close())
        })
      }
      if (size > 1) for (const { book } of shares) book.share(exchange)
    },
    loss: ({ isOwn, loss }, units) => {
      begin(isOwn)
      const sums = loss()
      const values = shares.map(({ book }) => contribution(book, units))
      const terms = values.map((each, i) => ({ unit: UNIT, values: each, weight: shares[i]!.weight }))
      const metric = values.map((each) => ({ unit: UNIT, values: each }))
      return { ...sums, terms: [...sums.terms, ...terms], metrics: { ...sums.metrics, aux_loss: metric } }
    },
    end: () => shares.forEach(({ book }) => book.forget())
  }
}

type Entry = ReturnType<RoutingBook["close"]>

const settle = (book: RoutingBook, entry: Entry): void => {
  if (entry !== undefined) book.settle(entry)
}

/** What the passes of a loss contribute, spread over its units of data. */
const contribution = (book: RoutingBook, units: number): Tensor1D => {
  const entry = book.close()
  if (entry === undefined) return tf.zeros([units])
  if (!book.isSettled()) book.settle(entry)
  return tf.mul(book.value(entry), tf.mul(tf.ones([units]), 1 / units))
}
