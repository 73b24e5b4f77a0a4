import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { cudaStorage, launch, packWidth, spread } from "./cuda/kernels.ts"
import { cast, dense, emptyOf, wide } from "./storage.ts"

// Tokens on their ways to experts and back, on CUDA; who registers these looks at `groupsOnDevice` first.

interface Shares {
  readonly perToken: number
  readonly renormalised: boolean
}

/** Warps of a block that has one a token. */
const WARPS = 4
const perWarp = (tokens: number) => ({ threads: 32 * WARPS, blocks: Math.ceil(tokens / WARPS) })

const floats = (tensor: TensorInfo, scope: KernelScope): Handle => wide(dense(tensor, scope))

/** {probabilities [N, E]} → [experts [N, k] int32, shares [N, k]] */
export const chooseExperts: Kernel = replayed(
  { inputs: ["probabilities"], constants: ["perToken", "renormalised"] },
  ({ probabilities }: Record<"probabilities", TensorInfo>, { perToken, renormalised }: Shares, scope) => {
    const [tokens, experts] = probabilities.shape as [number, number]
    const shape = [tokens, perToken]
    const [chosen, shares] = [emptyOf(shape, INT32, scope), emptyOf(shape, FLOAT32, scope)]
    const args = [floats(probabilities, scope), chosen, shares, tokens, experts, perToken, renormalised ? 1 : 0]
    launch("chooseExperts", { ...perWarp(tokens), macros: { T: "float", W: 1 }, args }, scope)
    return [scope.out(chosen, "int32", shape), scope.out(shares, "float32", shape)]
  }
)

/** {probabilities, chosen, shares, dy} → [N, E] */
export const chooseExpertsGradient: Kernel = replayed(
  { inputs: ["probabilities", "chosen", "shares", "dy"], constants: ["renormalised"] },
  (
    { chosen, dy, probabilities, shares }: Record<"probabilities" | "chosen" | "shares" | "dy", TensorInfo>,
    { renormalised }: Pick<Shares, "renormalised">,
    scope
  ) => {
    const [tokens, experts] = probabilities.shape as [number, number]
    const out = emptyOf([tokens, experts], FLOAT32, scope)
    const tensors = [floats(probabilities, scope), dense(chosen, scope), floats(shares, scope), floats(dy, scope), out]
    const args = [...tensors, tokens, experts, chosen.shape[1]!, renormalised ? 1 : 0]
    launch("chooseExpertsGradient", { ...perWarp(tokens), macros: { T: "float", W: 1 }, args }, scope)
    return scope.out(out, "float32", [tokens, experts])
  }
)

/** Rows that one pass of a block looks at. */
const MOST_THREADS = 1024

/** {chosen [N, k]} → int32 [order [N·k], places [N·k], ends [E]] */
export const expertOrder: Kernel = replayed(
  { inputs: ["chosen"], constants: ["experts"] },
  ({ chosen }: Record<"chosen", TensorInfo>, { experts }: { readonly experts: number }, scope) => {
    const count = chosen.shape[0]! * chosen.shape[1]!
    const [order, places, ends] = [count, count, experts].map((size) => emptyOf([size], INT32, scope)) as [
      Handle,
      Handle,
      Handle
    ]
    const threads = Math.min(MOST_THREADS, 32 * Math.max(1, Math.ceil(count / 32)))
    const args = [dense(chosen, scope), order, places, ends, count]
    launch("expertOrder", { blocks: experts, threads, macros: { T: "float", W: 1 }, args }, scope)
    return [
      scope.out(order, "int32", [count]),
      scope.out(places, "int32", [count]),
      scope.out(ends, "int32", [experts])
    ]
  }
)

interface Ways {
  readonly perToken: number
}

const storageOf = (x: Handle, scope: KernelScope): string => {
  const T = cudaStorage([x], scope)
  if (T === undefined) throw new Error("rows of experts are stored in float32 or bfloat16")
  return T
}

/** {x [N, D], order} → [N·k, D] */
export const dispatchRows: Kernel = replayed(
  { inputs: ["x", "order"], constants: ["perToken"] },
  ({ order, x }: Record<"x" | "order", TensorInfo>, { perToken }: Ways, scope) => {
    const rows = dense(x, scope)
    const [count, width] = [order.shape[0]!, x.shape[1]!]
    const W = packWidth(width)
    const packs = width / W
    const out = emptyOf([count, width], typeOf(rows), scope)
    const args = [rows, dense(order, scope), out, count * packs, packs, perToken]
    launch("dispatchRows", { ...spread(count * packs), macros: { T: storageOf(rows, scope), W }, args }, scope)
    return scope.out(out, "float32", [count, width])
  }
)

/** {y [N·k, D], places, shares} → [N, D]; without shares each row counts for 1 */
export const collectRows: Kernel = replayed(
  { inputs: ["y", "places", "shares"], constants: ["perToken"] },
  (
    { places, shares, y }: Record<"y" | "places", TensorInfo> & Partial<Record<"shares", TensorInfo>>,
    { perToken }: Ways,
    scope
  ) => {
    const rows = dense(y, scope)
    const [tokens, width] = [y.shape[0]! / perToken, y.shape[1]!]
    const W = packWidth(width)
    const packs = width / W
    const out = emptyOf([tokens, width], typeOf(rows), scope)
    const factors = shares === undefined ? null : floats(shares, scope)
    const args = [rows, dense(places, scope), factors, out, tokens * packs, packs, perToken]
    launch("collectRows", { ...spread(tokens * packs), macros: { T: storageOf(rows, scope), W }, args }, scope)
    return scope.out(out, "float32", [tokens, width])
  }
)

/** {y [N·k, D], shares, order, dy [N, D]} → [[N·k, D], [N, k]] */
export const collectRowsGradient: Kernel = replayed(
  { inputs: ["y", "shares", "order", "dy"], constants: ["perToken"] },
  ({ dy, order, shares, y }: Record<"y" | "shares" | "order" | "dy", TensorInfo>, { perToken }: Ways, scope) => {
    const rows = dense(y, scope)
    const slope = cast(dense(dy, scope), typeOf(rows))
    const [count, width] = y.shape as [number, number]
    const W = packWidth(width)
    const packs = width / W
    const [dx, dshares] = [emptyOf(y.shape, typeOf(rows), scope), emptyOf(shares.shape, FLOAT32, scope)]
    const args = [rows, floats(shares, scope), dense(order, scope), slope, dx, dshares, packs, perToken]
    const threads = Math.min(256, 32 * Math.max(1, Math.ceil(packs / 32)))
    launch("collectRowsGradient", { blocks: count, threads, macros: { T: storageOf(rows, scope), W }, args }, scope)
    return [scope.out(dx, "float32", y.shape), scope.out(dshares, "float32", shares.shape)]
  }
)
