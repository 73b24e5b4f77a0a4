import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { cudaStorage, launch, packWidth } from "./cuda/kernels.ts"
import { dense, emptyOf, isHostReal, wide } from "./storage.ts"

type Inputs = Record<"logits" | "draws", TensorInfo> &
  Partial<Record<"editStarts" | "editIds" | "edits" | "allowedStarts" | "allowedIds", TensorInfo>>

/** A row's threads: a multiprocessor holds two blocks of the smaller number at a time. */
const threadsFor = (rows: number, { backend }: KernelScope): number =>
  rows > backend.cuda!.multiprocessors ? 512 : 1024

const [clone, full] = [aten("clone"), aten("full")]

/** Logits with the edits made and what is not allowed at −∞, float32; undefined where they are the policy's. */
const shapedLogits = (logits: Handle, inputs: Inputs, scope: KernelScope): Handle | undefined => {
  const { allowedIds, allowedStarts, editIds, editStarts, edits } = inputs
  if (editIds === undefined && allowedIds === undefined) return undefined
  const [rows, width] = inputs.logits.shape as [number, number]
  const shaped = clone(wide(logits))
  const list = { blocks: rows, threads: 256, macros: { T: "float", W: 1 } }
  if (editIds !== undefined) {
    const args = [shaped, ...[editStarts!, editIds, edits!].map((tensor) => scope.of(tensor)), width]
    launch("editLogits", { ...list, args }, scope)
  }
  if (allowedIds === undefined) return shaped
  const open = full([rows, width], -Infinity, FLOAT32, undefined, scope.backend.device)
  launch("allowLogits", { ...list, args: [shaped, scope.of(allowedStarts!), scope.of(allowedIds), open, width] }, scope)
  return open
}

const sampleOnHost: Kernel = (inputs: Inputs, _, scope) => {
  const [rows] = inputs.logits.shape as [number, number]
  const own = dense(inputs.logits, scope)
  const logits = isHostReal(own, scope) ? own : wide(own)
  const given = (tensor: TensorInfo | undefined) => (tensor === undefined ? null : dense(tensor, scope))
  const ids = emptyOf([rows], INT32, scope)
  const [sampling, policy] = [emptyOf([rows], FLOAT32, scope), emptyOf([rows], FLOAT32, scope)]
  const edits = [given(inputs.editStarts), given(inputs.editIds), given(inputs.edits)] as const
  const allowed = [given(inputs.allowedStarts), given(inputs.allowedIds)] as const
  const draws = dense(inputs.draws, scope)
  scope.backend.addon.sampleTokens(logits, draws, ...edits, ...allowed, ids, sampling, policy)
  return [scope.out(ids, "int32", [rows]), scope.out(sampling, "float32", [rows]), scope.out(policy, "float32", [rows])]
}

/** → [ids, sampling log-probs, policy log-probs] */
export const sampleTokens: Kernel = (inputs: Inputs, _, scope) => {
  if (scope.backend.cuda === undefined) return sampleOnHost(inputs, _, scope)
  const given = dense(inputs.logits, scope)
  const logits = cudaStorage([given], scope) === undefined ? wide(given) : given
  const [rows, width] = inputs.logits.shape as [number, number]
  const shaped = shapedLogits(logits, inputs, scope)
  const ids = emptyOf([rows], INT32, scope)
  const [sampling, policy] = [emptyOf([rows], FLOAT32, scope), emptyOf([rows], FLOAT32, scope)]
  const threads = threadsFor(rows, scope)
  const macros = { T: cudaStorage([logits], scope)!, W: packWidth(width), THREADS: threads }
  const args = [logits, shaped ?? null, wide(scope.of(inputs.draws)), ids, sampling, policy, width]
  launch("sampleTokens", { blocks: rows, threads, macros, args }, scope)
  return [scope.out(ids, "int32", [rows]), scope.out(sampling, "float32", [rows]), scope.out(policy, "float32", [rows])]
}
