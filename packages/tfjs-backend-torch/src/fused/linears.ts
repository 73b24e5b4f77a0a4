import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenOwned } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, STORAGE_TYPES } from "../scalar-type.ts"
import { traced } from "../traced.ts"
import { addMatrixProduct, matrixProduct } from "./matrix-product.ts"
import { product } from "./product.ts"
import { activation, cast } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

// Linear layers on one input. Where products read copies of the weights, those of a group lie end to end in one tensor,
// so that the group is one product, and its outputs are columns of that.

const [t, cat, narrow] = [aten("t"), aten("cat"), aten("narrow")]
const [catOwned, narrowOwned] = [atenOwned("cat"), atenOwned("narrow")]
const addTo = aten("add.Tensor")

/** Tensors as a kernel of a list gets them. */
export type List = ReadonlyArray<TensorInfo>

/**
 * [ΣO, I]: the weights' narrow copies as one tensor, or themselves where they are stored as narrow; undefined where
 * products read float32.
 *
 * @param mayMove whether those may be laid anew that lie beside others
 */
export const jointWeights = (weights: List, type: number, scope: KernelScope, mayMove = true): Handle | undefined => {
  const { backend } = scope
  if (type === FLOAT32) return undefined
  const copies = weights.map((weight) => backend.compute(weight))
  if (!copies.every((copy) => typeOf(copy) === type)) return undefined
  const known = backend.addon.joined(copies, 0)
  if (known !== null) return scope.temporary(known)
  if (!mayMove && weights.some((weight) => backend.isJoint(weight))) return undefined
  const joint = scope.temporary(catOwned(copies, 0))
  let first = 0
  const parts = weights.map(({ shape: [rows] }) => {
    first += rows!
    return narrowOwned(joint, 0, first - rows!, rows)
  })
  backend.moveCompute(weights, parts)
  return joint
}

/** The same of layers on one input. Those that lie in one group stay there: what is recorded reads them where they are. */
const linearsWeights = (weights: List, type: number, scope: KernelScope) => jointWeights(weights, type, scope, false)

/** Lays the weights' narrow copies end to end, where products with `x` are to read such and they do not lie so yet. */
export const joinWeights = (weights: List, x: TensorInfo, scope: KernelScope): void => {
  if (weights.length === 1 || scope.backend.areJoint(weights)) return
  const type = typeOf(scope.of(x))
  linearsWeights(weights, type === FLOAT32 ? STORAGE_TYPES[scope.backend.storage] : type, scope)
}

/** Matrices as columns of one: itself where they are parts of it, else a copy. */
export const columnsOf = (handles: ReadonlyArray<Handle>, scope: KernelScope): Handle => {
  const known = scope.backend.addon.joined(handles, 1)
  return known === null ? cat(handles, 1) : scope.temporary(known)
}

/** `handle` cut along `axis` into parts of these sizes: views. */
export const cut = (handle: Handle, axis: 0 | 1, sizes: ReadonlyArray<number>): ReadonlyArray<Handle> => {
  let first = 0
  return sizes.map((size) => {
    const part = narrow(handle, axis, first, size)
    first += size
    return part
  })
}

type Group = readonly [x: TensorInfo, ...weights: Array<TensorInfo>]

/** [x, W, W, …] → [x·Wᵀ, …] */
export const linears: Kernel = replayed(
  { prepare: ([x, ...weights]: Group, scope) => joinWeights(weights, x, scope) },
  ([x, ...weights]: Group, _, scope) => {
    const rows = activation(x, scope)
    const type = typeOf(rows)
    for (const weight of weights) scope.backend.compute(weight)
    const joint = linearsWeights(weights, type, scope)
    const all =
      joint === undefined
        ? products(scope, [rows, ...weights.map((weight) => scope.backend.compute(weight))])
        : cut(
            product(rows, joint, scope),
            1,
            weights.map(({ shape }) => shape[0]!)
          )
    return all.map((values, i) => scope.out(values, "float32", [x.shape[0]!, weights[i]!.shape[0]!]))
  }
)

/** [x, W, …] → [x·Wᵀ, …] in the storage of x */
export const products = traced((scope, [x, ...weights]) =>
  weights.map((weight) => product(x!, cast(weight!, typeOf(x!)), scope))
)

/** [dy, …, W, …] → [Σ dy·W] in the storage of the first dy */
const summedProducts = traced((scope, tensors) => {
  const [[slope, matrix], ...rest] = pairsOf(tensors)
  const total = matrixProduct(slope, matrix, scope)
  for (const pair of rest) addMatrixProduct(total, ...pair, scope)
  return [total]
})

/** [sum, dy, …, W, …]: sum += Σ dy·W */
const addProducts = traced((scope, [sum, ...tensors]) => {
  for (const pair of pairsOf(tensors)) addMatrixProduct(sum!, ...pair, scope)
  return []
})

/** [dy, …, W, …] → [[dy, W], …] in the storage of the first dy */
const pairsOf = (tensors: ReadonlyArray<Handle | undefined>) => {
  const [count, type] = [tensors.length / 2, typeOf(tensors[0]!)]
  return Array.from({ length: count }, (_, i) =>
    [tensors[i]!, tensors[count + i]!].map((each) => cast(each, type))
  ) as [[Handle, Handle], ...Array<[Handle, Handle]>]
}

/** [x, dy, …] → [dyᵀ·x, …] */
const outerProducts = traced((scope, [x, ...slopes]) => slopes.map((slope) => matrixProduct(t(slope), x!, scope)))

/** The weights of a list of as many slopes before them, and perhaps a sum behind. */
const weightsOf = (inputs: List): List => inputs.slice(Math.floor(inputs.length / 2), 2 * Math.floor(inputs.length / 2))

/** [dy, …, W, …] → Σ dy·W, and a sum before it where one is at the end: in that one's memory where it is its own */
export const linearsInputGradient: Kernel = replayed(
  { prepare: (inputs: List, scope) => joinWeights(weightsOf(inputs), inputs[0]!, scope) },
  (inputs: List, _, scope) => {
    const count = Math.floor(inputs.length / 2)
    const [dys, weights, sum] = [inputs.slice(0, count), weightsOf(inputs), inputs[2 * count]]
    const slopes = dys.map((dy) => activation(dy, scope))
    const type = typeOf(slopes[0]!)
    const shape = [dys[0]!.shape[0]!, weights[0]!.shape[1]!]
    const joint = weights.length === 1 ? undefined : linearsWeights(weights, type, scope)
    const operands =
      joint === undefined
        ? [...slopes, ...weights.map((weight) => scope.backend.compute(weight))]
        : [columnsOf(slopes, scope), joint]
    if (sum === undefined) return scope.out(summedProducts(scope, operands)[0]!, "float32", shape)
    if (typeOf(scope.of(sum)) !== type || scope.backend.isShared(sum)) {
      return scope.out(addTo(scope.of(sum), summedProducts(scope, operands)[0]!), "float32", shape)
    }
    addProducts(scope, [scope.of(sum), ...operands])
    return scope.written(sum)
  }
)

/** [dy, …, x] → [dyᵀ·x, …] */
export const linearsWeightGradients: Kernel = replayed({}, (inputs: List, _, scope) => {
  const [dys, x] = [inputs.slice(0, -1), inputs.at(-1)!]
  const rows = activation(x, scope)
  const type = typeOf(rows)
  const slopes = dys.map((dy) => cast(activation(dy, scope), type))
  const sizes = dys.map(({ shape }) => shape[1]!)
  const all =
    type === FLOAT32
      ? outerProducts(scope, [rows, ...slopes])
      : cut(matrixProduct(t(columnsOf(slopes, scope)), rows, scope), 0, sizes)
  return all.map((values, i) => scope.out(values, "float32", [sizes[i]!, x.shape[1]!]))
})
