import type { CollateOptions } from "@plumbline/data"
import { epochOrder } from "@plumbline/data"
import { balanced, type RowSplit } from "./balanced.ts"
import { type RolloutBatch, type RolloutRow, rolloutRows } from "../rollout-batch.ts"
import type { WorkingRollout } from "./work.ts"

export interface MinibatchOrder {
  /** Steps that share out the prompts of a rollout. */
  readonly minibatches: number
  /** Which step on the rollout it is, from 0. */
  readonly inner: number
  readonly seed: number
}

export interface MinibatchOptions extends CollateOptions, MinibatchOrder {
  readonly split: RowSplit
  readonly klCoefficient: number
}

/** The micro-batches of one step: whole groups, in an order of their own in each epoch; rows that teach nothing are left out. */
export const minibatch = (rollout: WorkingRollout, options: MinibatchOptions): ReadonlyArray<RolloutBatch> => {
  const { inner, klCoefficient, layout, padId, split } = options
  const groups = groupsOfStep(rollout, options)
  // the policy has not moved before the first step: the old log-probs are those of the step itself
  const fresh = inner === 0
  const rows = rollout.rows.filter(({ group, maskedBecause }) => groups.has(group) && maskedBecause === undefined)
  const taken = fresh ? rows.map((row): RolloutRow => ({ ...row, oldLogProbs: undefined })) : rows
  return balanced(taken, ({ row }) => row.ids.length, split).map((part) =>
    rolloutRows(part, { layout, padId, klCoefficient })
  )
}

/** Numbers of the prompts whose responses a step is made of. */
export const groupsOfStep = (
  { index, rows }: WorkingRollout,
  { inner, minibatches, seed }: MinibatchOrder
): ReadonlySet<number> => {
  const count = rows.reduce((most, { group }) => Math.max(most, group + 1), 0)
  const epoch = Math.floor(inner / minibatches)
  // the stream of the data's order is another seed's: epochs of rollouts are no epochs of the data
  const order = epochOrder(count, index * 2 ** 20 + epoch, seed, minibatches > 1)
  const place = inner % minibatches
  const bounds = [place, place + 1].map((edge) => Math.round((edge * count) / minibatches))
  return new Set(order.slice(bounds[0], bounds[1]))
}
