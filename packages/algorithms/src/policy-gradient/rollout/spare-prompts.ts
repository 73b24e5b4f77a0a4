import { epochOrder } from "@plumbline/data"
import { philoxStream } from "@plumbline/runtime"
import type { PromptUnit } from "../../responses/prompt-data.ts"

/**
 * Prompts that may take the place of a rollout's own: others of the data, in an order that the run's seed and the rollout's
 * number decide.
 *
 * @param own numbers of the rollout's prompts
 */
export const sparePrompts = (
  units: ReadonlyArray<PromptUnit>,
  own: Int32Array,
  { index, most, seed }: { readonly index: number; readonly most: number; readonly seed: number }
): ReadonlyArray<PromptUnit> => {
  const taken = new Set(own)
  const order = epochOrder(units.length, 0, philoxStream(seed, "spare-prompts").uint32(index), true)
  return Array.from(order.filter((unit) => !taken.has(unit)).slice(0, most), (unit) => units[unit]!)
}
