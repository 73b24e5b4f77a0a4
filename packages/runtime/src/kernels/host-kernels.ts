import { type HostArray, type HostMemory, type Kernel, type TensorInfo, writable } from "./host-memory.ts"
import { ADAMW, EMBEDDING, EMBEDDING_GRADIENT, TAKE_ROWS, TENSOR_NORM, UPDATE_ROWS } from "./names.ts"

type Inputs = Record<string, TensorInfo>

const updateRows = (
  { source, target }: Inputs,
  { index }: { readonly index: Int32Array },
  memory: HostMemory
): TensorInfo => {
  const result = writable(target!, memory)
  const values = memory.view(result)
  const rows = memory.view(source!)
  const width = rows.length / Math.max(1, index.length)
  for (let i = 0; i < index.length; i++) values.set(rows.subarray(i * width, (i + 1) * width), index[i]! * width)
  memory.written(result)
  return result
}

interface Ids {
  readonly ids: Int32Array
}

const embedding = ({ weight }: Inputs, { ids }: Ids, memory: HostMemory): TensorInfo =>
  takeRows({ x: weight! }, { ids }, memory)

const takeRows = ({ x }: Inputs, { ids }: Ids, memory: HostMemory): TensorInfo => {
  const width = x!.shape[1]!
  const result = memory.allocate([ids.length, width])
  const [from, to] = [memory.view(x!), memory.view(result)]
  ids.forEach((id, i) => to.set(from.subarray(id * width, (id + 1) * width), i * width))
  return result
}

const embeddingGradient = (
  { dy }: Inputs,
  { ids, rows }: { readonly ids: Int32Array; readonly rows: number },
  memory: HostMemory
): TensorInfo => addRows(dy!, ids, [rows, dy!.shape[1]!], memory)

/** tfjs's UnsortedSegmentSum, the gradient of its gather; the cpu backend's own passes over x once a segment. */
const unsortedSegmentSum = (
  { segmentIds, x }: Inputs,
  { numSegments }: { readonly numSegments: number },
  memory: HostMemory
): TensorInfo => addRows(x!, Int32Array.from(memory.view(segmentIds!)), [numSegments, ...x!.shape.slice(1)], memory)

/** Zeros of `shape` with row i of x added to row ids[i], in order; negative ids are left out. */
const addRows = (x: TensorInfo, ids: Int32Array, shape: ReadonlyArray<number>, memory: HostMemory): TensorInfo => {
  const result = memory.allocate(shape, x.dtype === "int32" ? "int32" : "float32")
  const [from, to] = [memory.view(x), memory.view(result).fill(0)]
  const width = from.length / Math.max(1, ids.length)
  for (let row = 0; row < ids.length; row++) {
    const [source, sum] = [row * width, ids[row]! * width]
    if (sum < 0) continue
    for (let i = 0; i < width; i++) to[sum + i]! += from[source + i]!
  }
  return result
}

/** √Σx², added up in float64; as two float32 numbers whose sum it is. */
const tensorNorm = ({ x }: Inputs, _: unknown, memory: HostMemory): TensorInfo => {
  const result = memory.allocate([2])
  const values = memory.view(x!)
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  const norm = Math.sqrt(sum)
  memory.view(result).set([norm, Number.isFinite(norm) ? norm - Math.fround(norm) : 0])
  return result
}

export interface AdamwAttributes {
  readonly beta1: number
  readonly beta2: number
  readonly epsilon: number
  readonly gradientScale: number
  /** 1 − learning rate · weight decay */
  readonly decay: number
  /** learning rate / (1 − β₁ᵗ) */
  readonly stepSize: number
  /** 1 / √(1 − β₂ᵗ) */
  readonly denominatorScale: number
}

const adamw = (inputs: Inputs, attrs: AdamwAttributes, memory: HostMemory): Array<TensorInfo> => {
  const { firstMoment, gradient, parameter, secondMoment } = inputs
  const { beta1, beta2, decay, denominatorScale, epsilon, gradientScale, stepSize } = attrs
  const results = [parameter!, firstMoment!, secondMoment!].map((tensor) => writable(tensor, memory))
  const [p, m, v] = results.map(memory.view) as [HostArray, HostArray, HostArray]
  const g = memory.view(gradient!)
  for (let i = 0; i < p.length; i++) {
    const slope = g[i]! * gradientScale
    const first = (m[i] = m[i]! + (1 - beta1) * (slope - m[i]!))
    const second = (v[i] = beta2 * v[i]! + (1 - beta2) * slope * slope)
    p[i] = p[i]! * decay - (stepSize * first) / (Math.sqrt(second) * denominatorScale + epsilon)
  }
  results.forEach(memory.written)
  return results
}

/** Kernels that run on the memory of any backend whose tensors lie in this process. */
export const hostKernels: Readonly<Record<string, Kernel<HostMemory>>> = {
  [UPDATE_ROWS]: updateRows,
  [EMBEDDING]: embedding,
  [EMBEDDING_GRADIENT]: embeddingGradient,
  [TAKE_ROWS]: takeRows,
  UnsortedSegmentSum: unsortedSegmentSum,
  [TENSOR_NORM]: tensorNorm,
  [ADAMW]: adamw
}
