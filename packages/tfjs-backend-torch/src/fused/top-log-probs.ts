import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { FLOAT32, INT32, INT64 } from "../scalar-type.ts"
import { dense, emptyOf, wide } from "./storage.ts"

export interface Ranked {
  readonly rows: Int32Array
  readonly targets: Int32Array
  readonly count: number
}

const [arange, clampMin, eq, gather, gt] = [
  aten("arange.start_step"),
  aten("clamp_min"),
  aten("eq.Tensor"),
  aten("gather"),
  aten("gt.Tensor")
]
const [indexSelect, logSumExp, lt, mul, narrow, reshape] = [
  aten("index_select"),
  aten("logsumexp"),
  aten("lt.Tensor"),
  aten("mul.Tensor"),
  aten("narrow"),
  aten("reshape")
]
const [sub, sum, to, where, whereOther] = [
  aten("sub.Tensor"),
  aten("sum.dim_IntList"),
  aten("to.dtype"),
  aten("where.self"),
  aten("where.ScalarOther")
]
const [sort, topK] = [atenAll("sort.stable"), atenAll("topk")]

/**
 * The `count` largest of each row, by falling value, equal ones by rising place.
 *
 * `topk` gives values that are right and places that are not: of equal values it takes any. Places of what is larger than
 * the last value are all there and are put in order; of what is equal to it a second `topk` finds the first places.
 *
 * @param x [M, V], V < 2²⁴
 * @returns [M, count] values and int64 places
 */
export const orderedTop = (x: Handle, count: number, scope: KernelScope): readonly [Handle, Handle] => {
  const width = scope.backend.addon.shape(x)[1]!
  const device = scope.backend.device
  const [values, any] = topK(x, count, -1, true, true) as [Handle, Handle]
  const least = narrow(values, 1, count - 1, 1)
  const above = gt(values, least)
  // the first places have the largest weights, which float32 holds exactly
  const weights = mul(eq(x, least), arange(width, 0, -1, FLOAT32, undefined, device))
  const [, equal] = topK(weights, count, -1, true, true) as [Handle, Handle]
  const [places, byPlace] = sort(whereOther(above, any, width), true, 1, false) as [Handle, Handle]
  const [, byValue] = sort(gather(values, 1, byPlace), true, 1, true) as [Handle, Handle]
  const slots = arange(0, count, 1, INT64, undefined, device)
  const first = sum(above, [1], true, INT64)
  const larger = gather(places, 1, byValue)
  return [values, where(lt(slots, first), larger, gather(equal, 1, clampMin(sub(slots, first), 0)))]
}

/** @param logits [M, V], of the ranked rows alone */
export const composedTop = (logits: Handle, { count, targets }: Ranked, scope: KernelScope): ReadonlyArray<Handle> => {
  const total = targets.length
  const normalizer = logSumExp(wide(logits), [1], true)
  const logProbOf = (values: Handle) => sub(wide(values), normalizer)
  const target = gather(logits, 1, scope.upload(targets, [total, 1], INT64))
  const [values, places] = orderedTop(logits, count, scope)
  return [to(places, INT32), logProbOf(values), reshape(logProbOf(target), [total])]
}

const onHost = (logits: Handle, { count, rows, targets }: Ranked, scope: KernelScope): ReadonlyArray<Handle> => {
  const total = rows.length
  const [ids, logProbs] = [emptyOf([total, count], INT32, scope), emptyOf([total, count], FLOAT32, scope)]
  const ofTargets = emptyOf([total], FLOAT32, scope)
  const [own, wanted] = [scope.upload(rows, [total], INT32), scope.upload(targets, [total], INT32)]
  scope.backend.addon.topLogProbs(logits, own, wanted, ids, logProbs, ofTargets)
  return [ids, logProbs, ofTargets]
}

/** → [ids, log-probs, log-probs of targets] */
export const topLogProbs: Kernel = ({ logits }: Record<"logits", TensorInfo>, ranked: Ranked, scope) => {
  const { count, rows } = ranked
  const given = dense(logits, scope)
  const isAll = rows.length === logits.shape[0] && rows.every((row, i) => row === i)
  const made =
    scope.backend.device === "cpu"
      ? onHost(wide(given), ranked, scope)
      : composedTop(isAll ? given : indexSelect(given, 0, scope.upload(rows, [rows.length], INT64)), ranked, scope)
  return [
    scope.out(made[0]!, "int32", [rows.length, count]),
    scope.out(made[1]!, "float32", [rows.length, count]),
    scope.out(made[2]!, "float32", [rows.length])
  ]
}
