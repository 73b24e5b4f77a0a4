import { fused, GROUPED_LINEARS, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { linears } from "./linear.ts"

/** A linear layer: weight [O, I] and perhaps bias [O]. */
type Layer = readonly [weight: Tensor2D, bias: Tensor1D | undefined]

/** Groups of rows that lie side by side: how many rows each has, host data, or [G] int32 where those of each end, on the device. */
export type RowGroups = { readonly counts: ReadonlyArray<number> } | { readonly ends: Tensor1D }

/**
 * Linear layers of groups of rows, each group by layers of its own: the experts of a mixture. In as few products as the backend
 * can where no layer has a bias.
 *
 * @param x      [N, I] float32, the rows of a group side by side, the groups in their order
 * @param groups the G groups, which have N rows together
 * @param layers for each group as many layers as for any other, [Oₚ, I] for layer p of each
 * @returns      [N, Oₚ] float32 for each p
 */
export const groupedLinears = (
  x: Tensor2D,
  groups: RowGroups,
  layers: ReadonlyArray<ReadonlyArray<Layer>>
): ReadonlyArray<Tensor2D> => {
  const isBiased = layers.some((group) => group.some(([, bias]) => bias !== undefined))
  if (isBiased || !hasKernel(GROUPED_LINEARS)) return composedGroupedLinears(x, groups, layers)
  const weights = layers.flatMap((group) => group.map(([weight]) => weight))
  const [which, attrs] = "ends" in groups ? [[groups.ends], { groups: layers.length }] : [[], { counts: groups.counts }]
  return fused<Array<Tensor>>(
    GROUPED_LINEARS,
    [x, ...which, ...weights],
    attrs
  ) as ReadonlyArray<Tensor> as Array<Tensor2D>
}

/** Where the groups' ends are on the device it waits for it, to read them. */
export const composedGroupedLinears: typeof groupedLinears = (x, groups, layers) =>
  tf.tidy(() => {
    const parts = splitRows(x, countsOf(groups))
    const outputs = layers.map((group, g) => linears(parts[g]!, group))
    return layers[0]!.map((_, p) => tf.concat(outputs.map((group) => group[p]!)) as Tensor2D)
  })

const countsOf = (groups: RowGroups): ReadonlyArray<number> => {
  if ("counts" in groups) return groups.counts
  const ends = [...groups.ends.dataSync()]
  return ends.map((end, g) => end - (ends[g - 1] ?? 0))
}

/** The rows of each group. Of one alone tfjs cannot make the gradient of a split. */
export const splitRows = (x: Tensor2D, counts: ReadonlyArray<number>): ReadonlyArray<Tensor2D> =>
  counts.length === 1 ? [tf.clone(x)] : tf.split(x, [...counts])
