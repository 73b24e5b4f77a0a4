import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten } from "../aten.ts"
import type { Kernel, KernelScope } from "../kernel.ts"
import { cudnnForward, cudnnGradient, cudnnNormalizer, fitsCudnn } from "./attention-cudnn.ts"
import { fitsTiles, tilesGradient } from "./attention-gradient.ts"
import { fitsFlash, flashForward, flashGradient, flashNormalizer } from "./attention-flash.ts"
import { groupsForward, groupsGradient } from "./attention-groups.ts"
import { invariantForward } from "./attention-invariant.ts"
import { type Attended, type AttentionOptions, type Heads, rowGroups, wholeGroup } from "./row-groups.ts"
import { activation, cast } from "./storage.ts"
import { typeOf } from "../handle-facts.ts"
import { replayed } from "../replayed.ts"

/** A way to attend; the gradient reads the log-normalizers as the forward pass lays them out. */
interface Path {
  readonly forward: (heads: Three, options: AttentionOptions, scope: KernelScope) => Attended
  /** Those of another forward pass, [H, N], as the gradient reads them. */
  readonly normalizer: (byHead: Handle, options: AttentionOptions, scope: KernelScope) => Handle
  readonly gradient: (
    heads: Three,
    saved: readonly [out: Handle, logNormalizer: Handle],
    dy: Handle,
    options: AttentionOptions,
    scope: KernelScope
  ) => Array<Handle>
}

type Three = readonly [Handle, Handle, Handle]

/** What attention depends on where all tokens are in rows of one length; undefined where they are not. */
const wholeRows = ({ k, q }: Heads, options: AttentionOptions) => {
  const whole = wholeGroup(rowGroups(options), q.shape[0]!, k.shape[0]!)
  if (whole === undefined) return undefined
  return [whole.count, whole.length, whole.keyLength, options.scale, options.window, options.softCap]
}

const cudnn: Path = { forward: cudnnForward, normalizer: cudnnNormalizer, gradient: cudnnGradient }
const flash: Path = { forward: flashForward, normalizer: flashNormalizer, gradient: flashGradient }

const [contiguous, transpose] = [aten("contiguous"), aten("transpose.int")]

const rowByRow: Path = {
  forward: groupsForward,
  normalizer: (byHead) => contiguous(transpose(byHead, 0, 1)),
  gradient: groupsGradient
}

/** cuDNN where rows are equally long and its gradient, added up in any order, will do; flash attention on 16 bits, else row by row. */
const pathOf = (heads: Heads, q: Handle, options: AttentionOptions, scope: KernelScope): Path => {
  if (!scope.backend.isDeterministic && fitsCudnn(heads, q, options, scope)) return cudnn
  return fitsFlash(q, options.softCap, scope) ? flash : rowByRow
}

/** {q, k, v} → [out, log-normalizers]; the forward pass is our own kernel where it must be batch-invariant. */
export const attention: Kernel = replayed(
  { inputs: ["q", "k", "v"], constants: wholeRows },
  (heads: Heads, options: AttentionOptions, scope) => {
    const type = typeOf(activation(heads.q, scope))
    const handles = [heads.q, heads.k, heads.v].map((x) => cast(scope.of(x), type)) as [Handle, Handle, Handle]
    const path = pathOf(heads, handles[0], options, scope)
    const [out, logNormalizer] = (scope.backend.isBatchInvariant ? invariantly(path) : path.forward)(
      handles,
      options,
      scope
    )
    return [scope.out(out, "float32", heads.q.shape), scope.out(logNormalizer, "float32")]
  }
)

const invariantly =
  (path: Path): Path["forward"] =>
  (handles, options, scope) => {
    const [out, byHead] = invariantForward(handles, options, scope)
    return [out, path.normalizer(byHead, options, scope)]
  }

/** {q, k, v, out, logNormalizer, dy} → [dq, dk, dv] */
export const attentionGradient: Kernel = replayed(
  { inputs: ["q", "k", "v", "out", "logNormalizer", "dy"], constants: wholeRows },
  (
    inputs: Heads & { readonly out: TensorInfo; readonly logNormalizer: TensorInfo; readonly dy: TensorInfo },
    options: AttentionOptions,
    scope
  ) => {
    const { dy, k, logNormalizer, out, q, v } = inputs
    const type = typeOf(scope.of(out))
    const handles = [q, k, v].map((x) => cast(scope.of(x), type)) as [Handle, Handle, Handle]
    const saved = [scope.of(out), scope.of(logNormalizer)] as const
    const above = cast(scope.of(dy), type)
    const path = pathOf(inputs, handles[0], options, scope)
    const gradients = fitsTiles(inputs, type, options, scope)
      ? tilesGradient(path === cudnn, handles, saved, above, options, scope)
      : path.gradient(handles, saved, above, options, scope)
    return gradients.map((gradient, i) => scope.out(gradient, "float32", [q, k, v][i]!.shape))
  }
)
