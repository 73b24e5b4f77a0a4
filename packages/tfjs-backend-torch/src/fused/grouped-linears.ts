import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import { typeOf } from "../handle-facts.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { BFLOAT16, INT32 } from "../scalar-type.ts"
import { columnsOf, cut, jointWeights, type List } from "./linears.ts"
import { addMatrixProduct, matrixProduct } from "./matrix-product.ts"
import { product } from "./product.ts"
import { activation, cast } from "./storage.ts"

// Linear layers of groups of rows, each group by weights of its own. On CUDA all groups are one product of libtorch's, for
// which all weights lie end to end: those of a group side by side, so that two of one group are one still.

const [t, cat, narrow, reshape, transpose] = [
  aten("t"),
  aten("cat"),
  aten("narrow"),
  aten("reshape"),
  aten("transpose.int")
]
const groupedProduct = aten("_grouped_mm")
const zero = atenInPlace("zero_")

interface Groups {
  /** Rows of each. */
  readonly counts: ReadonlyArray<number>
}

/** Capability from which on libtorch has one kernel for all groups. */
const GROUPING_CAPABILITY = 90
/** Rows of that kernel's matrices begin at multiples of 16 bytes. */
const ALIGNMENT = 8

/** Whether one product does for all groups: in bfloat16, and where a row's bits may depend on the rows beside it. */
const areOneProduct = (type: number, sizes: ReadonlyArray<number>, scope: KernelScope): boolean => {
  const { backend } = scope
  if (backend.cuda === undefined || backend.cuda.capability < GROUPING_CAPABILITY || backend.isBatchInvariant)
    return false
  return type === BFLOAT16 && sizes.every((size) => size % ALIGNMENT === 0) && backend.groupsProducts
}

/** [G] int32: where the rows of each group end. */
const ends = (counts: ReadonlyArray<number>, scope: KernelScope): Handle => {
  let end = 0
  return scope.upload(
    Int32Array.from(counts, (count) => (end += count)),
    [counts.length],
    INT32
  )
}

/** The joint weights [ΣO, I] as [G, O, I]. */
const stacked = (joint: Handle, counts: ReadonlyArray<number>, inner: number): Handle =>
  reshape(joint, [counts.length, -1, inner])

const sum = (sizes: ReadonlyArray<number>): number => sizes.reduce((total, size) => total + size, 0)

/** The rows of each group. */
const partsOf = (rows: Handle, counts: ReadonlyArray<number>): ReadonlyArray<Handle> => cut(rows, 0, counts)

/** [x, W, …], P weights a group → P outputs: the rows of each group by its own weights */
export const groupedLinears: Kernel = (
  [x, ...weights]: [TensorInfo, ...Array<TensorInfo>],
  { counts }: Groups,
  scope
) => {
  const rows = activation(x, scope)
  const type = typeOf(rows)
  const widths = weights.slice(0, weights.length / counts.length).map(({ shape }) => shape[0]!)
  const out = (values: Handle, p: number) => scope.out(values, "float32", [x.shape[0]!, widths[p]!])
  const joint = areOneProduct(type, [x.shape[1]!, ...widths], scope) ? jointWeights(weights, type, scope) : undefined
  if (joint !== undefined) {
    const all = groupedProduct(rows, transpose(stacked(joint, counts, x.shape[1]!), 1, 2), ends(counts, scope))
    return cut(all, 1, widths).map(out)
  }
  const parts = partsOf(rows, counts)
  return widths.map((_, p) =>
    out(
      cat(
        parts.map((part, g) =>
          product(part, cast(scope.backend.compute(weights[g * widths.length + p]!), type), scope)
        ),
        0
      ),
      p
    )
  )
}

/** [dy, …, W, …] → the rows of each group by its own weights, for P slopes and P weights a group added up */
export const groupedLinearsInputGradient: Kernel = (inputs: List, { counts }: Groups, scope) => {
  // P slopes and P·G weights
  const P = inputs.length / (1 + counts.length)
  const [dys, weights] = [inputs.slice(0, P), inputs.slice(P)]
  const slopes = dys.map((dy) => activation(dy, scope))
  const type = typeOf(slopes[0]!)
  const inner = weights[0]!.shape[1]!
  const shape = [dys[0]!.shape[0]!, inner]
  const widths = dys.map((dy) => dy.shape[1]!)
  const joint = areOneProduct(type, [inner, ...widths], scope) ? jointWeights(weights, type, scope) : undefined
  if (joint !== undefined) {
    const all = columnsOf(slopes, scope)
    return scope.out(groupedProduct(all, stacked(joint, counts, inner), ends(counts, scope)), "float32", shape)
  }
  const parts = slopes.map((slope) => partsOf(cast(slope, type), counts))
  const matrix = (g: number, p: number) => cast(scope.backend.compute(weights[g * P + p]!), type)
  const sums = counts.map((_, g) => {
    const total = matrixProduct(parts[0]![g]!, matrix(g, 0), scope)
    for (let p = 1; p < P; p++) addMatrixProduct(total, parts[p]![g]!, matrix(g, p), scope)
    return total
  })
  return scope.out(cat(sums, 0), "float32", shape)
}

/** [dy, …, x] → the gradients of all weights, group by group */
export const groupedLinearsWeightGradients: Kernel = (inputs: List, { counts }: Groups, scope) => {
  const [dys, x] = [inputs.slice(0, -1), inputs.at(-1)!]
  const rows = activation(x, scope)
  const type = typeOf(rows)
  const slopes = dys.map((dy) => cast(activation(dy, scope), type))
  const inner = x.shape[1]!
  const widths = dys.map(({ shape }) => shape[1]!)
  const sizes = counts.flatMap(() => widths)
  const out = (values: Handle, i: number) => scope.out(values, "float32", [sizes[i]!, inner])
  if (areOneProduct(type, [inner, ...widths], scope)) {
    const all = groupedProduct(t(columnsOf(slopes, scope)), rows, ends(counts, scope))
    // a group without rows is nothing to the product
    counts.forEach((count, g) => count === 0 && zero(narrow(all, 0, g, 1)))
    return cut(reshape(all, [sum(sizes), inner]), 0, sizes).map(out)
  }
  const parts = partsOf(rows, counts)
  const slopeParts = slopes.map((slope) => partsOf(slope, counts))
  return counts.flatMap((_, g) =>
    slopeParts.map((each, p) => out(matrixProduct(t(each[g]!), parts[g]!, scope), g * widths.length + p))
  )
}
