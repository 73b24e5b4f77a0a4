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
import { type Angles, turnedHeads, wideAngles } from "./rotary.ts"

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

/** [out, log-normalizers]; by our own kernel where it must be batch-invariant. */
const attended = (heads: Heads, handles: Three, options: AttentionOptions, scope: KernelScope): Attended => {
  const path = pathOf(heads, handles[0], options, scope)
  return (scope.backend.isBatchInvariant ? invariantly(path) : path.forward)(handles, options, scope)
}

const invariantly =
  (path: Path): Path["forward"] =>
  (handles, options, scope) => {
    const [out, byHead] = invariantForward(handles, options, scope)
    return [out, path.normalizer(byHead, options, scope)]
  }

/** In one storage. */
const handlesOf = ({ k, q, v }: Heads, type: number, scope: KernelScope): [Handle, Handle, Handle] => [
  cast(scope.of(q), type),
  cast(scope.of(k), type),
  cast(scope.of(v), type)
]

/** {q, k, v} → [out, log-normalizers] */
export const attention: Kernel = replayed(
  { inputs: ["q", "k", "v"], constants: wholeRows },
  (heads: Heads, options: AttentionOptions, scope) => {
    const handles = handlesOf(heads, typeOf(activation(heads.q, scope)), scope)
    const [out, logNormalizer] = attended(heads, handles, options, scope)
    return [scope.out(out, "float32", heads.q.shape), scope.out(logNormalizer, "float32")]
  }
)

/** {q, k, v, cos, sin} → [out, log-normalizers, turned q, turned k] */
export const rotaryAttention: Kernel = replayed(
  { inputs: ["q", "k", "v", "cos", "sin"], constants: wholeRows },
  (inputs: Heads & Angles, options: AttentionOptions, scope) => {
    const { k, q } = inputs
    const given = handlesOf(inputs, typeOf(activation(q, scope)), scope)
    const heads = turnedHeads(given, inputs, false, scope)
    const [out, logNormalizer] = attended(inputs, heads, options, scope)
    const turned = [scope.out(heads[0], "float32", q.shape), scope.out(heads[1], "float32", k.shape)]
    return [scope.out(out, "float32", q.shape), scope.out(logNormalizer, "float32"), ...turned]
  }
)

type Saved = Heads & Record<"out" | "logNormalizer" | "dy", TensorInfo>

/** [dq, dk, dv]; with angles those of q and k before they were turned by these. */
const slopesOf = (
  inputs: Saved,
  options: AttentionOptions,
  angles: Angles | undefined,
  scope: KernelScope
): Array<TensorInfo> => {
  const { dy, k, logNormalizer, q, v } = inputs
  const out = scope.of(inputs.out)
  const type = typeOf(out)
  const handles = handlesOf(inputs, type, scope)
  const saved = [out, scope.of(logNormalizer)] as const
  const above = cast(scope.of(dy), type)
  const path = pathOf(inputs, handles[0], options, scope)
  const byTiles = fitsTiles(inputs, type, options, scope)
  // only whole heads are turned back on the way
  const tileAngles = byTiles && angles?.cos.shape[1] === q.shape[2]! / 2 ? wideAngles(angles!, scope) : undefined
  const slopes = byTiles
    ? tilesGradient({ areEqual: path === cudnn, options, angles: tileAngles }, handles, saved, above, scope)
    : (path.gradient(handles, saved, above, options, scope) as [Handle, Handle, Handle])
  const isDone = angles === undefined || tileAngles !== undefined
  return (isDone ? slopes : turnedHeads(slopes, angles, true, scope)).map((slope, i) =>
    scope.out(slope, "float32", [q, k, v][i]!.shape)
  )
}

/** {q, k, v, out, logNormalizer, dy} → [dq, dk, dv] */
export const attentionGradient: Kernel = replayed(
  { inputs: ["q", "k", "v", "out", "logNormalizer", "dy"], constants: wholeRows },
  (inputs: Saved, options: AttentionOptions, scope) => slopesOf(inputs, options, undefined, scope)
)

/** {turned q, turned k, v, cos, sin, out, logNormalizer, dy} → [dq, dk, dv], of q and k as they were; on CUDA columns of one matrix */
export const rotaryAttentionGradient: Kernel = replayed(
  { inputs: ["q", "k", "v", "cos", "sin", "out", "logNormalizer", "dy"], constants: wholeRows },
  (inputs: Saved & Angles, options: AttentionOptions, scope) => slopesOf(inputs, options, inputs, scope)
)
