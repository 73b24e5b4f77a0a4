import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { TorchBackend } from "../backend.ts"
import { typeOf } from "../handle-facts.ts"
import type { KernelScope } from "../kernel.ts"
import { BFLOAT16, INT32 } from "../scalar-type.ts"
import { storageMacro, launch, packWidth } from "./cuda/kernels.ts"
import { shapeOf } from "./cuda/launches.ts"
import { compareRowsOnce, waves } from "./compared-rows.ts"
import { columnsOf, cut, jointWeights, type List } from "./linears.ts"
import { cast, dense } from "./storage.ts"
import { areFewRows, thinProduct } from "./thin-product.ts"

// Products of groups of rows by weights of their own, as one of libtorch's, which is told on the device where the groups end. All
// weights lie end to end for it, those of a group side by side, so that several layers of a group are one still.

const [t, reshape, transpose, pad, narrow, contiguous] = [
  aten("t"),
  aten("reshape"),
  aten("transpose.int"),
  aten("constant_pad_nd"),
  aten("narrow"),
  aten("contiguous")
]
const groupedProduct = aten("_grouped_mm")

/** Capability from which on libtorch has one kernel for all groups, which takes bfloat16. */
const GROUPING_CAPABILITY = 90
/** Rows of its matrices begin at multiples of 16 bytes. */
const ALIGNMENT = 8

/** Whether the device multiplies groups whose ends the host does not know. */
export const groupsOnDevice = ({ cuda, groupsProducts, storage }: TorchBackend): boolean =>
  cuda !== undefined && cuda.capability >= GROUPING_CAPABILITY && storage === "bfloat16" && groupsProducts

/** P layers [Oₚ, I] of each of G groups. */
interface Layers {
  /** [G] int32 */
  readonly ends: TensorInfo
  readonly groups: number
  /** Group by group. */
  readonly weights: List
  /** [P] Oₚ */
  readonly widths: ReadonlyArray<number>
}

/** [G, ΣO, I] in the storage of products, filled up with zeros to what their kernel takes. */
const stacked = ({ groups, weights }: Pick<Layers, "groups" | "weights">, scope: KernelScope): Handle => {
  const joint = jointWeights(weights, BFLOAT16, scope)
  if (joint === undefined) throw new Error("the weights of a product of groups are not stored in bfloat16")
  return filled(reshape(joint, [groups, -1, weights[0]!.shape[1]!]), [1, 2], scope)
}

/** x with zeros behind it, so that these axes, of its last two, have multiples of eight numbers. */
const filled = (x: Handle, axes: ReadonlyArray<number>, scope: KernelScope): Handle => {
  const shape = shapeOf(x, scope)
  const missing = (axis: number) => (axes.includes(axis) ? (ALIGNMENT - (shape[axis]! % ALIGNMENT)) % ALIGNMENT : 0)
  const [rows, columns] = [missing(shape.length - 2), missing(shape.length - 1)]
  return rows + columns === 0 ? x : pad(x, [0, columns, 0, rows], 0)
}

/** The first numbers of each row. */
const firstOf = (x: Handle, width: number, scope: KernelScope): Handle =>
  shapeOf(x, scope).at(-1) === width ? x : narrow(x, shapeOf(x, scope).length - 1, 0, width)

const narrowRows = (rows: Handle, scope: KernelScope): Handle => filled(cast(rows, BFLOAT16), [1], scope)

/** rows [N, I] by the layers of their groups: [N, Oₚ] for each p. */
export const groupedProducts = (rows: Handle, layers: Layers, scope: KernelScope): ReadonlyArray<Handle> => {
  const matrices = stacked(layers, scope)
  const [ends, narrow] = [dense(layers.ends, scope), narrowRows(rows, scope)]
  const all = multiplied(narrow, matrices, ends, scope)
  return layers.widths.length === 1 ? [firstOf(all, layers.widths[0]!, scope)] : cut(all, 1, layers.widths)
}

/** rows [N, I] by the transposes of matrices [G, O, I] */
const multiplied = (rows: Handle, matrices: Handle, ends: Handle, scope: KernelScope): Handle => {
  const [[count], [groups, outputs, inner]] = [shapeOf(rows, scope), shapeOf(matrices, scope)] as [
    [number],
    [number, number, number]
  ]
  const { isBatchInvariant } = scope.backend
  if (!isBatchInvariant && areFewRows(count, groups)) {
    const shape = { rows: count, groups, outputs, inner }
    return thinProduct({ rows: contiguous(rows), matrices: contiguous(matrices), ends, shape }, scope)
  }
  const transposed = transpose(matrices, 1, 2)
  if (isBatchInvariant) compareOnce(transposed, scope)
  return groupedProduct(rows, transposed, ends)
}

/** Rows of a group that are compared with many, all other groups being empty. */
const COMPARED = [1, 2, 7, 16, 17, 64, 65, 100, 128, 200, 256, 300, 512, 1000]
const MOST_COMPARED = 1024

/** Sees to matrices of this shape, [G, I, O], by other rows. */
const compareOnce = (matrices: Handle, scope: KernelScope): void => {
  const [groups, inner, outputs] = shapeOf(matrices, scope) as [number, number, number]
  const multiply = () => {
    const rows = waves([MOST_COMPARED, inner], 0.71, BFLOAT16, scope)
    return (count: number) => {
      const ends = scope.upload(new Int32Array(groups).fill(count), [groups], INT32)
      return groupedProduct(narrow(rows, 0, 0, count), matrices, ends)
    }
  }
  const name = `groups/${groups}/${outputs}/${inner}`
  compareRowsOnce({ name, inner, outputs, compared: COMPARED, most: MOST_COMPARED }, multiply, scope)
}

/** What reaches the rows, [N, I], of slopes [N, Oₚ]. */
export const groupedInputGradient = (slopes: ReadonlyArray<Handle>, layers: Layers, scope: KernelScope): Handle => {
  const above = narrowRows(
    columnsOf(
      slopes.map((slope) => cast(slope, BFLOAT16)),
      scope
    ),
    scope
  )
  return firstOf(
    groupedProduct(above, stacked(layers, scope), dense(layers.ends, scope)),
    layers.weights[0]!.shape[1]!,
    scope
  )
}

interface WeightShapes extends Pick<Layers, "groups" | "widths"> {
  readonly inner: number
}

/** The gradients of all weights, group by group. */
export const groupedWeightGradients = (
  slopes: ReadonlyArray<Handle>,
  rows: Handle,
  ends: TensorInfo,
  { groups, inner, widths }: WeightShapes,
  scope: KernelScope
): ReadonlyArray<Handle> => {
  const borders = dense(ends, scope)
  const all = groupedProduct(t(narrowRows(columnsOf(slopes, scope), scope)), narrowRows(rows, scope), borders)
  clearEmpty(all, borders, scope)
  const outputs = widths.reduce((sum, width) => sum + width, 0)
  const own = firstOf(shapeOf(all, scope)[1] === outputs ? all : narrow(all, 1, 0, outputs), inner, scope)
  const sizes = Array.from({ length: groups }, () => widths).flat()
  return cut(reshape(own, [groups * outputs, inner]), 0, sizes)
}

/** Blocks of a group. */
const CLEARING = 16

/** Of a group without rows libtorch does not promise to write anything. */
const clearEmpty = (all: Handle, ends: Handle, scope: KernelScope): void => {
  const [groups, rows, columns] = shapeOf(all, scope) as [number, number, number]
  const W = packWidth(rows * columns)
  const args = [ends, all, (rows * columns) / W, CLEARING]
  launch(
    "clearGroups",
    { blocks: groups * CLEARING, threads: 256, macros: { T: storageMacro(typeOf(all))!, W }, args },
    scope
  )
}
