import type { HostArray, HostKernel, HostMemory, TensorInfo } from "./host-memory.ts"
import { ADAMW, TENSOR_NORM, UPDATE_ROWS } from "./names.ts"

/** The tensor itself to write into, or a copy of it where other tensors share its values. */
export const writable = (tensor: TensorInfo, memory: HostMemory): TensorInfo => {
  if (!memory.isShared(tensor)) return memory.share(tensor)
  const copy = memory.allocate(tensor.shape)
  memory.view(copy).set(memory.view(tensor))
  return copy
}

const updateRows: HostKernel = ({ source, target }, { index }, memory) => {
  const result = writable(target!, memory)
  const values = memory.view(result)
  const rows = memory.view(source!)
  const width = rows.length / Math.max(1, index.length)
  for (let i = 0; i < index.length; i++) values.set(rows.subarray(i * width, (i + 1) * width), index[i] * width)
  memory.written(result)
  return result
}

/** √Σx², added up in float64; as two float32 numbers whose sum it is. */
const tensorNorm: HostKernel = ({ x }, _, memory) => {
  const result = memory.allocate([2])
  const values = memory.view(x!)
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  const norm = Math.sqrt(sum)
  memory.view(result).set([norm, Number.isFinite(norm) ? norm - Math.fround(norm) : 0])
  return result
}

const adamw: HostKernel = ({ firstMoment, gradient, parameter, secondMoment }, attrs, memory) => {
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
export const hostKernels: Readonly<Record<string, HostKernel>> = {
  [UPDATE_ROWS]: updateRows,
  [TENSOR_NORM]: tensorNorm,
  [ADAMW]: adamw
}
