import { groupsOfStep, type MinibatchOrder } from "../rollout/minibatch.ts"
import type { PreparedRow } from "../rollout/prepare.ts"
import type { WorkingRollout } from "../rollout/work.ts"
import type { CriticLesson } from "./critic.ts"

/**
 * What the critic learns from a rollout: every response that has a reward, those that teach the policy nothing too, in
 * the order in which the policy goes over them.
 */
export const lessonOf = (
  rollout: WorkingRollout,
  order: Omit<MinibatchOrder, "inner">,
  steps: number
): CriticLesson => {
  const judged = rollout.rows.filter(({ reward }) => reward !== undefined)
  return {
    rows: judged.map(({ origin, returns, row, values }) => ({
      row: { ids: row.ids, lossMask: responseMask(row, returns) },
      origin,
      oldValues: values,
      returns
    })),
    steps: Array.from({ length: steps }, (_, inner) => {
      const groups = groupsOfStep(rollout, { ...order, inner })
      return judged.flatMap(({ group }, i) => (groups.has(group) ? [i] : []))
    })
  }
}

/** The response's tokens, also where the policy learns nothing from them. */
const responseMask = ({ ids }: PreparedRow["row"], { length }: Float32Array): Uint8Array =>
  new Uint8Array(ids.length).fill(1, ids.length - length)
