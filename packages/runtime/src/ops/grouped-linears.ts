import { fused, GROUPED_LINEARS, hasKernel } from "../kernels/names.ts"
import { tf, type Tensor, type Tensor1D, type Tensor2D } from "../tf.ts"
import { linears } from "./linear.ts"

/** A linear layer: weight [O, I] and perhaps bias [O]. */
type Layer = readonly [weight: Tensor2D, bias: Tensor1D | undefined]

/**
 * Linear layers of groups of rows, each group by layers of its own: the experts of a mixture. In as few products as the backend
 * can where no layer has a bias.
 *
 * @param x      [N, I] float32, the rows of a group side by side, the groups in their order
 * @param counts [G] rows of each group, which add up to N; host data
 * @param layers for each group as many layers as for any other, [Oₚ, I] for layer p of each
 * @returns      [N, Oₚ] float32 for each p
 */
export const groupedLinears = (
  x: Tensor2D,
  counts: ReadonlyArray<number>,
  layers: ReadonlyArray<ReadonlyArray<Layer>>
): ReadonlyArray<Tensor2D> => {
  const isBiased = layers.some((group) => group.some(([, bias]) => bias !== undefined))
  if (isBiased || !hasKernel(GROUPED_LINEARS)) return composedGroupedLinears(x, counts, layers)
  const weights = layers.flatMap((group) => group.map(([weight]) => weight))
  return fused<Array<Tensor>>(GROUPED_LINEARS, [x, ...weights], { counts }) as ReadonlyArray<Tensor> as Array<Tensor2D>
}

export const composedGroupedLinears: typeof groupedLinears = (x, counts, layers) =>
  tf.tidy(() => {
    const parts = tf.split(x, [...counts]) as ReadonlyArray<Tensor2D>
    const outputs = layers.map((group, g) => linears(parts[g]!, group))
    return layers[0]!.map((_, p) => tf.concat(outputs.map((group) => group[p]!)) as Tensor2D)
  })
