import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { BFLOAT16, FLOAT16, INT64 } from "../scalar-type.ts"
import { type AttentionOptions, type Attended, type Heads, rowGroups } from "./row-groups.ts"
import { emptyOf } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"

// cuDNN's attention: the fastest on Hopper, for equally long rows without padding. Its tensors are views of ours.

type Three = readonly [Handle, Handle, Handle]

const [transpose, reshape, contiguous] = [aten("transpose.int"), aten("reshape"), aten("contiguous")]
const forward = atenAll("_scaled_dot_product_cudnn_attention")
const backward = atenAll("_scaled_dot_product_cudnn_attention_backward")

export const isHalf = (handle: Handle): boolean => [FLOAT16, BFLOAT16].includes(typeOf(handle))

export const fitsCudnn = ({ k, q }: Heads, handle: Handle, options: AttentionOptions, scope: KernelScope): boolean => {
  const { cuda } = scope.backend
  if (cuda === undefined || cuda.capability < 80 || !isHalf(handle)) return false
  const width = q.shape[2]!
  const { softCap, window } = options
  const groups = rowGroups(options)
  const [group] = groups
  if (groups.length !== 1 || group === undefined) return false
  return (
    softCap === undefined &&
    (window === undefined || window >= group.length) &&
    group.length === group.keyLength &&
    group.length > 1 &&
    group.count * group.length === q.shape[0] &&
    group.count * group.length === k.shape[0] &&
    width % 8 === 0 &&
    width <= 128
  )
}

/** [N, H, d] as cuDNN sees it: [B, H, T, d], a view. */
const rows = (x: Handle, { queries }: AttentionOptions, scope: KernelScope): Handle => {
  const [tokens, heads, width] = scope.backend.addon.shape(x) as [number, number, number]
  const length = queries.lengths[0]!
  return transpose(reshape(x, [tokens / length, length, heads, width]), 1, 2)
}

const flat = (x: Handle, scope: KernelScope): Handle => {
  const [count, heads, length, width] = scope.backend.addon.shape(x) as [number, number, number, number]
  return reshape(transpose(x, 1, 2), [count * length, heads, width])
}

export const cudnnForward = (heads: Three, options: AttentionOptions, scope: KernelScope): Attended => {
  const [q, k, v] = heads.map((x) => rows(x, options, scope)) as [Handle, Handle, Handle]
  const [out, normalizer] = forward(q, k, v, undefined, true, 0, true, false, options.scale) as [Handle, Handle]
  return [flat(out, scope), normalizer]
}

/** Log-normalizers [H, N] as the gradient reads them: [B, H, T, 1]. */
export const cudnnNormalizer = (byHead: Handle, { queries }: AttentionOptions, scope: KernelScope): Handle => {
  const [heads, tokens] = scope.backend.addon.shape(byHead) as [number, number]
  const length = queries.lengths[0]!
  return contiguous(transpose(reshape(byHead, [heads, tokens / length, length, 1]), 0, 1))
}

export const cudnnGradient = (
  heads: Three,
  [out, normalizer]: readonly [Handle, Handle],
  dy: Handle,
  options: AttentionOptions,
  scope: KernelScope
): Array<Handle> => {
  const [q, k, v] = heads.map((x) => rows(x, options, scope)) as [Handle, Handle, Handle]
  const length = options.queries.lengths[0]!
  const unused = emptyOf([], INT64, scope)
  const gradients = backward(
    rows(dy, options, scope),
    q,
    k,
    v,
    rows(out, options, scope),
    normalizer,
    unused,
    unused,
    null,
    null,
    null,
    length,
    length,
    0,
    true,
    options.scale
  )
  return gradients.map((gradient) => flat(gradient, scope))
}
