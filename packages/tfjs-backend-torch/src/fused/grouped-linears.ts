import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import { typeOf } from "../handle-facts.ts"
import type { Kernel } from "../kernel.ts"
import { groupedInputGradient, groupedProducts, groupedWeightGradients } from "./grouped-products.ts"
import { cut, type List } from "./linears.ts"
import { addMatrixProduct, matrixProduct } from "./matrix-product.ts"
import { product } from "./product.ts"
import { activation, cast } from "./storage.ts"

// Linear layers of groups of rows, each group by weights of its own: a product a group where the host knows the groups, and one
// product of all where only the device does.

const [t, cat] = [aten("t"), aten("cat")]

/** Rows of each group, or how many groups there are, whose ends are the first input, or the second beside x. */
type Groups = { readonly counts: ReadonlyArray<number> } | { readonly counts?: undefined; readonly groups: number }

/** The rows of each group. */
const partsOf = (rows: Handle, counts: ReadonlyArray<number>): ReadonlyArray<Handle> => cut(rows, 0, counts)

interface Group {
  readonly group: number
  readonly count: number
}

/** Those that have rows, of many experts a few; one where none has. */
const servedOf = (counts: ReadonlyArray<number>): ReadonlyArray<Group> => {
  const served = counts.flatMap((count, group) => (count > 0 ? [{ group, count }] : []))
  return served.length > 0 ? served : [{ group: 0, count: 0 }]
}

const servedParts = (rows: Handle, served: ReadonlyArray<Group>): ReadonlyArray<Handle> =>
  partsOf(
    rows,
    served.map(({ count }) => count)
  )

const widthsOf = (weights: List, groups: number): ReadonlyArray<number> =>
  weights.slice(0, weights.length / groups).map(({ shape }) => shape[0]!)

/** [x, W, …] or [x, ends, W, …], P weights a group → P outputs: the rows of each group by its own weights */
export const groupedLinears: Kernel = ([x, ...rest]: [TensorInfo, ...Array<TensorInfo>], groups: Groups, scope) => {
  const rows = activation(x, scope)
  const outs = (values: ReadonlyArray<Handle>, widths: ReadonlyArray<number>) =>
    values.map((value, p) => scope.out(value, "float32", [x.shape[0]!, widths[p]!]))
  if (groups.counts === undefined) {
    const [ends, ...weights] = rest as [TensorInfo, ...List]
    const widths = widthsOf(weights, groups.groups)
    return outs(groupedProducts(rows, { ends, groups: groups.groups, weights, widths }, scope), widths)
  }
  const widths = widthsOf(rest, groups.counts.length)
  const served = servedOf(groups.counts)
  const parts = servedParts(rows, served)
  const type = typeOf(rows)
  const weightOf = ({ group }: Group, p: number) => cast(scope.backend.compute(rest[group * widths.length + p]!), type)
  const products = widths.map((_, p) => joined(served.map((each, i) => product(parts[i]!, weightOf(each, p), scope))))
  return outs(products, widths)
}

/** [dy, …, W, …] or [ends, dy, …, W, …] → the rows of each group by its own weights, for P slopes and P weights a group added up */
export const groupedLinearsInputGradient: Kernel = (inputs: List, groups: Groups, scope) => {
  const ends = groups.counts === undefined ? inputs[0] : undefined
  const rest = ends === undefined ? inputs : inputs.slice(1)
  const count = groups.counts === undefined ? groups.groups : groups.counts.length
  // P slopes and P weights a group
  const P = rest.length / (1 + count)
  const [dys, weights] = [rest.slice(0, P), rest.slice(P)]
  const slopes = dys.map((dy) => activation(dy, scope))
  const inner = weights[0]!.shape[1]!
  const shape = [dys[0]!.shape[0]!, inner]
  if (groups.counts === undefined) {
    const layers = { ends: ends!, groups: count, weights, widths: widthsOf(weights, count) }
    return scope.out(groupedInputGradient(slopes, layers, scope), "float32", shape)
  }
  const type = typeOf(slopes[0]!)
  const served = servedOf(groups.counts)
  const parts = slopes.map((slope) => servedParts(cast(slope, type), served))
  const matrix = ({ group }: Group, p: number) => cast(scope.backend.compute(weights[group * P + p]!), type)
  const sums = served.map((each, i) => {
    const total = matrixProduct(parts[0]![i]!, matrix(each, 0), scope)
    for (let p = 1; p < P; p++) addMatrixProduct(total, parts[p]![i]!, matrix(each, p), scope)
    return total
  })
  return scope.out(joined(sums), "float32", shape)
}

/** Rows below each other. */
const joined = (parts: ReadonlyArray<Handle>): Handle => (parts.length === 1 ? parts[0]! : cat(parts, 0))

/** [dy, …, x] or [ends, dy, …, x] → the gradients of all weights, group by group */
export const groupedLinearsWeightGradients: Kernel = (inputs: List, groups: Groups, scope) => {
  const [dys, x] = [inputs.slice(groups.counts === undefined ? 1 : 0, -1), inputs.at(-1)!]
  const rows = activation(x, scope)
  const type = typeOf(rows)
  const slopes = dys.map((dy) => cast(activation(dy, scope), type))
  const inner = x.shape[1]!
  const widths = dys.map(({ shape }) => shape[1]!)
  const out = (values: Handle, i: number) => scope.out(values, "float32", [widths[i % widths.length]!, inner])
  if (groups.counts === undefined)
    return groupedWeightGradients(slopes, rows, inputs[0]!, { groups: groups.groups, widths, inner }, scope).map(out)
  const parts = partsOf(rows, groups.counts)
  const slopeParts = slopes.map((slope) => partsOf(slope, groups.counts))
  return groups.counts.flatMap((_, g) =>
    slopeParts.map((each, p) => out(matrixProduct(t(each[g]!), parts[g]!, scope), g * widths.length + p))
  )
}
