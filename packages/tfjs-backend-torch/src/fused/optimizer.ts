import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"
import { aten, atenAll, atenInPlace, atenOwned } from "../aten.ts"
import { type Kernel, type KernelScope, sizeOf } from "../kernel.ts"
import { BFLOAT16, FLOAT32, FLOAT64 } from "../scalar-type.ts"
import { cudaStorage, prepareEach, spread, THREADS } from "./cuda/kernels.ts"
import { cudaNorm } from "./cuda/launches.ts"
import { dense, isHostReal, renewCopy, wide } from "./storage.ts"
import { isDense, typeOf } from "../handle-facts.ts"

const [vectorNorm, to, sub, nanToNum, stack, clone] = [
  aten("linalg_vector_norm"),
  aten("to.dtype"),
  aten("sub.Tensor"),
  aten("nan_to_num"),
  aten("stack"),
  aten("clone")
]
const mulEach = atenAll("_foreach_mul.Scalar")
const full = atenOwned("full")
const fusedAdamw = atenInPlace("_fused_adamw_")

/** A float64 number as float32 and what the rounding left. */
const twoParts = (exact: Handle): Handle => {
  const rounded = to(exact, FLOAT32)
  // ∞ − ∞ is NaN, for which no rest is left
  return stack([rounded, nanToNum(to(sub(exact, rounded), FLOAT32), 0, 0, 0)])
}

/** √Σx² of all inputs together, added up in float64, as two float32 numbers whose sum it is; one launch each and one for their sum on CUDA. */
export const globalNorm: Kernel = (inputs: Record<string, TensorInfo>, _, scope) => {
  const values = Object.values(inputs).map((x) => dense(x, scope))
  const onCuda = values.every((value) => cudaStorage([value], scope) !== undefined)
  const shapes = () => Object.values(inputs).map(({ shape }) => shape)
  if (onCuda) return scope.out(cudaNorm(values, shapes(), scope), "float32", [2])
  if (values.every((value) => isHostReal(value, scope))) return scope.out(hostNorm(values, scope), "float32", [2])
  const norms = values.map((value) => vectorNorm(value, 2, undefined, false, FLOAT64))
  return scope.out(twoParts(vectorNorm(stack(norms), 2, undefined, false, FLOAT64)), "float32", [2])
}

const hostNorm = (values: ReadonlyArray<Handle>, scope: KernelScope): Handle => {
  const norm = Math.sqrt(scope.backend.addon.squareSum(...values))
  const rounded = Math.fround(norm)
  return scope.upload(Float32Array.of(rounded, Number.isFinite(rounded) ? norm - rounded : 0), [2], FLOAT32)
}

interface AdamwAttributes {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  /** Factor on every gradient, asked for when all else is ready; undefined where nothing is to be updated. */
  readonly gradientScale: () => number | undefined
  /** 1 / √(1 − β₂ᵗ) */
  readonly denominatorScale: number
  /** 1 − learning rate · weight decay, of each parameter */
  readonly decays: ReadonlyArray<number>
  /** learning rate / (1 − β₁ᵗ), of each parameter */
  readonly stepSizes: ReadonlyArray<number>
}

interface ScaledAttributes extends Omit<AdamwAttributes, "gradientScale"> {
  readonly gradientScale: number
}

/** A step so late that ATen's own bias corrections are 1: the caller's factors hold them. */
const LATE = 1e9

/** That step on the device, made once: a process computes on one. */
let lateStep: Handle | undefined

interface Item {
  /** Parameter, first and second moment, or copies of them where another tensor lies in their memory. */
  readonly updated: readonly [parameter: Handle, first: Handle, second: Handle]
  readonly gradient: Handle
  /** The copy of the parameter that products read. */
  readonly copy: Handle | undefined
  readonly shape: ReadonlyArray<number>
  readonly decay: number
  readonly stepSize: number
}

/**
 * [parameters…, gradients…, first moments…, second moments…] → [] where all were written in place, else the updated
 * parameters and moments. The copies of parameters that products read are renewed with them.
 */
export const adamw: Kernel = (inputs: ReadonlyArray<TensorInfo>, attrs: AdamwAttributes, scope) => {
  const count = inputs.length / 4
  const places = Array.from({ length: count }, (_, i) => i)
  const tensors = [...inputs.slice(0, count), ...inputs.slice(2 * count)]
  // one question for all, which hardly ever is to be answered for each
  const anyShared = scope.backend.isAnyShared(tensors)
  const shared = tensors.map((tensor) => anyShared && scope.backend.isShared(tensor))
  const handles = tensors.map((tensor, i) => (shared[i] === true ? clone(scope.of(tensor)) : scope.of(tensor)))
  const items = places.map((i): Item => {
    const copy = shared[i] === true ? undefined : scope.backend.companion(inputs[i]!)
    const updated = [handles[i]!, handles[count + i]!, handles[2 * count + i]!] as const
    const [decay, stepSize] = [attrs.decays[i]!, attrs.stepSizes[i]!]
    return {
      updated,
      copy,
      gradient: dense(inputs[count + i]!, scope),
      shape: inputs[i]!.shape,
      decay,
      stepSize
    }
  })
  const onCuda = items.filter(({ gradient }) => cudaStorage([gradient], scope) !== undefined)
  const onHost = items.filter((item) => isHostItem(item, scope))
  const cudaAdamw = prepareCudaAdamw(onCuda, scope)
  const gradientScale = attrs.gradientScale()
  if (gradientScale === undefined) return []
  const scaled = { ...attrs, gradientScale }
  cudaAdamw(scaled)
  if (onHost.length > 0) hostAdamw(onHost, scaled, scope)
  const done = onCuda.length + onHost.length
  const others = done === items.length ? [] : items.filter((item) => !onCuda.includes(item) && !onHost.includes(item))
  for (const part of parts(others)) scope.nested(() => atenAdamw(part, scaled, scope))
  for (const tensor of tensors) scope.backend.forgetValues(tensor)
  if (!anyShared) return []
  return tensors.map((tensor, i) =>
    shared[i] === true ? scope.out(handles[i]!, tensor.dtype, tensor.shape) : scope.share(tensor)
  )
}

/** Numbers of a part: what is made of its gradients on the way exists at one time. */
const MOST_NUMBERS = 2 ** 22

/** Items that ATen updates in one call: of the same factors, and together no larger than that or alone. */
const parts = (items: ReadonlyArray<Item>): ReadonlyArray<ReadonlyArray<Item>> => {
  const open = new Map<string, { items: Array<Item>; numbers: number }>()
  const all: Array<Array<Item>> = []
  for (const item of items) {
    const key = `${item.decay}/${item.stepSize}`
    let part = open.get(key)
    const size = sizeOf(item.shape)
    if (part === undefined || part.numbers + size > MOST_NUMBERS) {
      part = { items: [], numbers: 0 }
      open.set(key, part)
      all.push(part.items)
    }
    part.items.push(item)
    part.numbers += size
  }
  return all
}

/** One pass of ATen's fused AdamW. With c = `denominatorScale`: s·m / (c·√v + ε) = (s/c)·m / (√v + ε/c). */
const atenAdamw = (items: ReadonlyArray<Item>, attrs: ScaledAttributes, scope: KernelScope): void => {
  const { beta1, beta2, denominatorScale, epsilon, gradientScale } = attrs
  const { decay, stepSize } = items[0]!
  const exact = items.map(({ gradient }) => wide(gradient))
  const slopes = gradientScale === 1 ? exact : mulEach(exact, gradientScale)
  const rate = stepSize / denominatorScale
  const weightDecay = rate === 0 ? 0 : (1 - decay) / rate
  lateStep ??= full([], LATE, FLOAT32, undefined, scope.backend.device)
  const [parameters, firsts, seconds] = [0, 1, 2].map((i) => items.map(({ updated }) => updated[i]!))
  const lists = [parameters, slopes, firsts, seconds, [], items.map(() => lateStep)]
  fusedAdamw(...lists, rate, beta1, beta2, weightDecay, epsilon / denominatorScale, false, false)
  for (const { copy, updated } of items) if (copy !== undefined) renewCopy(copy, updated[0], scope)
}

/** Whether one pass of our own does it on the CPU. */
const isHostItem = ({ copy, gradient, updated }: Item, scope: KernelScope): boolean =>
  isHostReal(gradient, scope) && updated.every(isDense) && (copy === undefined || isNarrowCopy(copy))

const isNarrowCopy = (copy: Handle): boolean => typeOf(copy) === BFLOAT16 && isDense(copy)

const hostAdamw = (items: ReadonlyArray<Item>, attrs: ScaledAttributes, scope: KernelScope): void => {
  const { beta1, beta2, denominatorScale, epsilon, gradientScale } = attrs
  const [parameters, firsts, seconds] = ([0, 1, 2] as const).map((i) => items.map(({ updated }) => updated[i]))
  scope.backend.addon.adamw(
    parameters!,
    items.map(({ gradient }) => gradient),
    firsts!,
    seconds!,
    items.map(({ copy }) => copy ?? null),
    items.map(({ decay }) => decay),
    items.map(({ stepSize }) => stepSize),
    beta1,
    beta2,
    epsilon,
    denominatorScale,
    gradientScale
  )
}

/** All of it but the factor on the gradients: what it returns launches it. */
const prepareCudaAdamw = (items: ReadonlyArray<Item>, scope: KernelScope): ((attrs: ScaledAttributes) => void) => {
  const each = items.map(({ copy, decay, gradient, shape, stepSize, updated }) => {
    const size = sizeOf(shape)
    // 16 bytes of float32 a thread: with 32, neighbours' accesses leave gaps and each sector is written in two halves; a part of
    // what lies side by side begins with a row
    const W = (shape.at(-1) ?? 1) % 4 === 0 ? 4 : 1
    const { blocks } = spread(size / W)
    const narrow = copy !== undefined && typeOf(copy) === BFLOAT16 ? copy : 0
    const members = [updated[0], gradient, updated[1], updated[2], narrow, size / W, decay, stepSize]
    return { macros: { T: cudaStorage([gradient], scope)!, W }, blocks, members }
  })
  const launch = prepareEach("adamw", THREADS, each, scope)
  return ({ beta1, beta2, denominatorScale, epsilon, gradientScale }) => {
    // 1 − β of a float32 has four digits
    const factors = [beta2, 1 - beta1, 1 - beta2, epsilon, denominatorScale, gradientScale]
    launch(() => factors)
    renewOthers(items, scope)
  }
}

/** The copies that the kernel does not write. */
const renewOthers = (items: ReadonlyArray<Item>, scope: KernelScope): void => {
  for (const { copy, updated } of items) {
    if (copy !== undefined && typeOf(copy) !== BFLOAT16) renewCopy(copy, updated[0], scope)
  }
}
