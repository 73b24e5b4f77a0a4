import { isOfExpert, type Weights } from "@plumbline/models"
import { groupedLinears, type RowGroups, type Tensor2D, tf } from "@plumbline/runtime"
import type { LinearAdapter, LowRank } from "./method.ts"

type Layers = ReadonlyMap<string, LinearAdapter>

/** The base's, where none of what is changed is an expert's. */
export const plainExperts = ({ grouped }: Weights, changed: Iterable<string>): Weights["grouped"] =>
  [...changed].some(isOfExpert) ? undefined : grouped

/**
 * The experts' linear layers and what adapters of low rank add to them, all experts' in one product each. Absent where experts
 * are adapted otherwise, or some of them and not the others, or not alike.
 *
 * @param experts of each mixture
 */
export const adaptedExperts = ({ grouped }: Weights, layers: Layers, experts: number): Weights["grouped"] => {
  if (grouped === undefined) return undefined
  const changed = [...layers].filter(([name]) => isOfExpert(name))
  if (changed.length === 0) return grouped
  if (!areAlike(changed, experts)) return undefined
  return (x, groups, names) => {
    const added = names[0]!.map((_, p) => names.map((group) => layers.get(group[p]!)?.lowRank))
    const adapted = added.filter((pairs): pairs is Array<LowRank> => pairs[0] !== undefined)
    const reduced =
      adapted.length === 0
        ? []
        : multiplied(
            x,
            groups,
            names.map((_, g) => adapted.map((pairs) => pairs[g]!.down()))
          )
    // after the narrow ones, as those of other layers
    const products = grouped(x, groups, names)
    return products.map((y, p) => {
      const pairs = added[p]!
      if (pairs[0] === undefined) return y
      const seen = reduced[adapted.indexOf(pairs as Array<LowRank>)]!
      const { scale } = pairs[0]
      const scaled = scale === 1 ? seen : tf.mul<Tensor2D>(seen, scale)
      return tf.add<Tensor2D>(
        y,
        multiplied(
          scaled,
          groups,
          pairs.map((pair) => [pair!.up()])
        )[0]!
      )
    })
  }
}

const multiplied = (x: Tensor2D, groups: RowGroups, matrices: ReadonlyArray<ReadonlyArray<Tensor2D>>) =>
  groupedLinears(
    x,
    groups,
    matrices.map((group) => group.map((matrix) => [matrix, undefined] as const))
  )

/** Whether each layer of all experts of a mixture, or of none of them, has an adapter of one rank and scale. */
const areAlike = (changed: ReadonlyArray<readonly [name: string, LinearAdapter]>, experts: number): boolean => {
  const kinds = new Map<string, Array<LowRank | undefined>>()
  for (const [name, { lowRank }] of changed) {
    const kind = name.replace(/\.experts\.\d+\./, ".experts.")
    const pairs = kinds.get(kind)
    if (pairs === undefined) kinds.set(kind, [lowRank])
    else pairs.push(lowRank)
  }
  return [...kinds.values()].every(
    (pairs) =>
      pairs.length === experts &&
      pairs.every((pair) => pair !== undefined && pair.rank === pairs[0]!.rank && pair.scale === pairs[0]!.scale)
  )
}
