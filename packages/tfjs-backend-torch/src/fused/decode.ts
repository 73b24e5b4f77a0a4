import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { cudaStorage, launch, packWidth, spread } from "./cuda/kernels.ts"
import { attendPages } from "./paged-attention.ts"
import { activation, cast, dense, emptyOf, isHostReal, matrix } from "./storage.ts"
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
  const heads = [matrix(q, scope), matrix(k, scope), matrix(v, scope)] as const
  const [keys, values] = [scope.of(inputs.keys), scope.of(inputs.values)]
  if ([...heads, keys, values].every((handle) => isHostReal(handle, scope))) return hostHeads(inputs, heads, scope)
  // those that an adapter has multiplied may be float32
  const [queries, newKeys, newValues] = heads.map((x) => cast(x, typeOf(keys))) as [Handle, Handle, Handle]
  const T = cudaStorage([queries, keys, values], scope)
  if (T === undefined) throw new Error("a recorded step has a cache of float32 or bfloat16")
  const [tokens, asked, width] = q.shape as [number, number, number]
  const half = inputs.cos.shape[1]!
  const steps = [queries, newKeys, newValues].map((x) => scope.backend.addon.strides(x)[0]!)
  const W = packWidth(width, half, ...steps)
  const count = (tokens * (asked + 2 * k.shape[1]!) * (width - half)) / W
  const out = emptyOf(q.shape, typeOf(queries), scope)
  const tables = [inputs.cos, inputs.sin, inputs.positions, inputs.slots].map((tensor) => dense(tensor, scope))
  const numbers = [count, asked, k.shape[1]!, width, half, ...steps]
  const args = [queries, newKeys, newValues, ...tables, out, keys, values, ...numbers]
  launch("cacheHeads", { ...spread(count), macros: { T, W }, args }, scope)
  return scope.out(out, "float32", q.shape)
}

const hostHeads = (
  { cos, keys, positions, q, sin, slots, values }: Heads,
  heads: readonly [q: Handle, k: Handle, v: Handle],
  scope: KernelScope
) => {
  const out = emptyOf(q.shape, typeOf(heads[0]), scope)
  const tables = [dense(cos, scope), dense(sin, scope), dense(positions, scope), dense(slots, scope)] as const
  scope.backend.addon.cacheHeads(...heads, ...tables, out, scope.of(keys), scope.of(values))
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
