import type { Handle } from "../addon.ts"
import { aten, atenInPlace } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { FLOAT32 } from "../scalar-type.ts"
import { traced } from "../traced.ts"
import { rowForward, rowGradient } from "./attention-rows.ts"
import { type Attended, type AttentionOptions, type RowGroup, rowGroups, wholeGroup } from "./row-groups.ts"
import { zerosOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

const [narrow, view] = [aten("narrow"), aten("reshape")]
const copyInto = atenInPlace("copy_")

/** [count, length, heads, d] of a flat tensor [N, heads, d]. */
const take = (x: Handle, first: number, count: number, length: number, scope: KernelScope): Handle => {
  const [, ...rest] = scope.backend.addon.shape(x)
  return view(narrow(x, 0, first, count * length), [count, length, ...rest])
}

const put = (into: Handle, first: number, values: Handle, scope: KernelScope): void => {
  const [count, length, ...rest] = scope.backend.addon.shape(values) as [number, number, ...Array<number>]
  copyInto(narrow(into, 0, first, count * length), view(values, [count * length, ...rest]))
}

/** What decides, beside the tensors, how rows of one length are computed that fill them. */
type WholeNumbers = [
  count: number,
  length: number,
  keyLength: number,
  scale: number,
  window: number | undefined,
  softCap: number | undefined
]

const numbersOf = (
  { count, keyLength, length }: RowGroup,
  { scale, softCap, window }: AttentionOptions
): WholeNumbers => [count, length, keyLength, scale, window, softCap]

const wholeRows = ([count, length, keyLength, scale, window, softCap]: WholeNumbers) => ({
  group: { count, firstQuery: 0, firstKey: 0, length, keyLength },
  numbers: { scale, window, softCap }
})

/** [q, k, v] → [out, log-normalizers] */
const wholeForward = traced((scope, tensors, ...constants: WholeNumbers) => {
  const [q, k, v] = tensors as [Handle, Handle, Handle]
  const { group, numbers } = wholeRows(constants)
  const [out, normalizer] = rowForward(slices([q, k, v], group, scope), numbers, scope)
  const shape = scope.backend.addon.shape(q)
  return [view(out, shape), view(normalizer, shape.slice(0, 2))]
})

/** [q, k, v, out, log-normalizers, dy] → [dq, dk, dv] */
const wholeGradient = traced((scope, tensors, ...constants: WholeNumbers) => {
  const [q, k, v, ...above] = tensors as [Handle, Handle, Handle, Handle, Handle, Handle]
  const { group, numbers } = wholeRows(constants)
  const [out, normalizer, dy] = above.map((x) => take(x, 0, group.count, group.length, scope)) as [
    Handle,
    Handle,
    Handle
  ]
  const gradients = rowGradient(slices([q, k, v], group, scope), [out, normalizer], dy, numbers, scope)
  return gradients.map((gradient, i) => view(gradient, scope.backend.addon.shape(tensors[i]!)))
})

/** {q, k, v} → [out, log-normalizers [N, H]], one group of equally long rows after the other. */
export const groupsForward = (
  [q, k, v]: readonly [Handle, Handle, Handle],
  options: AttentionOptions,
  scope: KernelScope
): Attended => {
  const shape = scope.backend.addon.shape(q)
  const groups = rowGroups(options)
  const whole = wholeGroup(groups, shape[0]!, scope.backend.addon.shape(k)[0]!)
  if (whole !== undefined) return wholeForward(scope, [q, k, v], ...numbersOf(whole, options)) as unknown as Attended
  const out = zerosOf(shape, typeOf(q), scope)
  const logNormalizer = zerosOf(shape.slice(0, 2), FLOAT32, scope)
  for (const group of groups) {
    const [of, keys, values] = slices([q, k, v], group, scope)
    const [rowOut, rowNormalizer] = rowForward([of, keys, values], options, scope)
    put(out, group.firstQuery, rowOut, scope)
    put(logNormalizer, group.firstQuery, rowNormalizer, scope)
  }
  return [out, logNormalizer]
}

const slices = (
  [q, k, v]: readonly [Handle, Handle, Handle],
  { count, firstKey, firstQuery, keyLength, length }: RowGroup,
  scope: KernelScope
): [Handle, Handle, Handle] => [
  take(q, firstQuery, count, length, scope),
  take(k, firstKey, count, keyLength, scope),
  take(v, firstKey, count, keyLength, scope)
]

export const groupsGradient = (
  handles: readonly [Handle, Handle, Handle],
  [out, logNormalizer]: readonly [Handle, Handle],
  dy: Handle,
  options: AttentionOptions,
  scope: KernelScope
): Array<Handle> => {
  const shapes = handles.map((handle) => scope.backend.addon.shape(handle))
  const groups = rowGroups(options)
  const gradientsOf = (group: RowGroup) => {
    const { count, firstQuery, length } = group
    const [rowOut, rowNormalizer, above] = [out, logNormalizer, dy].map((x) =>
      take(x, firstQuery, count, length, scope)
    ) as [Handle, Handle, Handle]
    return rowGradient(slices(handles, group, scope), [rowOut, rowNormalizer], above, options, scope)
  }
  const whole = wholeGroup(groups, shapes[0]![0]!, shapes[1]![0]!)
  if (whole !== undefined)
    return [...wholeGradient(scope, [...handles, out, logNormalizer, dy], ...numbersOf(whole, options))]
  const gradients = handles.map((handle, i) => zerosOf(shapes[i]!, typeOf(handle), scope)) as [Handle, Handle, Handle]
  for (const group of groups) {
    const { firstKey, firstQuery } = group
    const row = gradientsOf(group)
    put(gradients[0], firstQuery, row[0], scope)
    put(gradients[1], firstKey, row[1], scope)
    put(gradients[2], firstKey, row[2], scope)
  }
  return gradients
}
