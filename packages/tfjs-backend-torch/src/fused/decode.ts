import type { TensorInfo } from "@tensorflow/tfjs-core"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { cudaStorage, launch, packWidth, spread } from "./cuda/kernels.ts"
import { attendPages } from "./paged-attention.ts"
import { activation, dense, emptyOf, isHostFloat, matrix } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// One new token a row, where every number that says which and where lies on the device: kernels of a recorded step.

const [indexSelect, clampMin] = [aten("index_select"), aten("clamp_min")]

/** {weight, ids} → rows of the weight, in the backend's storage; an id below 0 stands for none and reads the first. */
export const lookUp: Kernel = ({ ids, weight }: Record<"weight" | "ids", TensorInfo>, _, scope) => {
  const rows = indexSelect(scope.backend.compute(weight), 0, clampMin(scope.of(ids), 0))
  return scope.out(rows, "float32", [ids.shape[0]!, weight.shape[1]!])
}

type Heads = Record<"q" | "k" | "v" | "cos" | "sin" | "positions" | "slots" | "keys" | "values", TensorInfo>

/** {q, k, v, …} → q rotated; keys and values are written in place. */
export const cacheHeads: Kernel = (inputs: Heads, _, scope) => {
  const { k, q, v } = inputs
  const [queries, newKeys, newValues] = [matrix(q, scope), matrix(k, scope), matrix(v, scope)]
  const [keys, values] = [scope.of(inputs.keys), scope.of(inputs.values)]
  if ([queries, keys, values].every((handle) => isHostFloat(handle, scope))) return hostHeads(inputs, scope)
  const T = cudaStorage([queries, newKeys, newValues, keys, values], scope)
  if (T === undefined) throw new Error("a recorded step needs a cache in the storage of its keys")
  const [tokens, heads, width] = q.shape as [number, number, number]
  const half = inputs.cos.shape[1]!
  const steps = [queries, newKeys, newValues].map((x) => scope.backend.addon.strides(x)[0]!)
  const W = packWidth(width, half, ...steps)
  const count = (tokens * (heads + 2 * k.shape[1]!) * (width - half)) / W
  const out = emptyOf(q.shape, typeOf(queries), scope)
  const tables = [inputs.cos, inputs.sin, inputs.positions, inputs.slots].map((tensor) => dense(tensor, scope))
  const numbers = [count, heads, k.shape[1]!, width, half, ...steps]
  const args = [queries, newKeys, newValues, ...tables, out, keys, values, ...numbers]
  launch("cacheHeads", { ...spread(count), macros: { T, W }, args }, scope)
  return scope.out(out, "float32", q.shape)
}

const hostHeads = ({ cos, k, keys, positions, q, sin, slots, v, values }: Heads, scope: KernelScope) => {
  const out = emptyOf(q.shape, FLOAT32, scope)
  const [asked, newKeys, newValues] = [dense(q, scope), dense(k, scope), dense(v, scope)]
  const tables = [dense(cos, scope), dense(sin, scope), dense(positions, scope), dense(slots, scope)] as const
  scope.backend.addon.cacheHeads(asked, newKeys, newValues, ...tables, out, scope.of(keys), scope.of(values))
  return scope.out(out, "float32", q.shape)
}

interface DecodeOptions {
  readonly pageSize: number
  readonly scale: number
  readonly window?: number | undefined
  readonly softCap?: number | undefined
}

/** {q, keys, values, table, spans} → attention of rows with one query each; what other rows get means nothing. */
export const decodeAttention: Kernel = (
  inputs: Record<"q" | "keys" | "values" | "table" | "spans", TensorInfo>,
  { pageSize, scale, softCap, window }: DecodeOptions,
  scope
) => {
  const [q, table] = [activation(inputs.q, scope), dense(inputs.table, scope)]
  const out = emptyOf(inputs.q.shape, typeOf(q), scope)
  const [rows, tableWidth] = inputs.table.shape as [number, number]
  const places = {
    keys: scope.of(inputs.keys),
    values: scope.of(inputs.values),
    table,
    spans: dense(inputs.spans, scope)
  }
  attendPages({ q, ...places, rows, tableWidth, pageSize, scale, softCap, window }, out, scope)
  return scope.out(out, "float32", inputs.q.shape)
}
