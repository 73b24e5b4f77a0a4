import type { AdamwAttributes } from "../host-kernels.ts"
import { type TensorInfo, writable } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

type Inputs = Record<string, TensorInfo>

const sizeOf = ({ shape }: TensorInfo): number => shape.reduce((product, length) => product * length, 1)

export const tensorNorm = ({ x }: Inputs, _: unknown, memory: NativeMemory): TensorInfo => {
  const result = memory.allocate([2])
  const norm = memory.native.norm(memory.address(x!), sizeOf(x!))
  memory.view(result).set([norm, Number.isFinite(norm) ? norm - Math.fround(norm) : 0])
  return result
}

export const adamw = (inputs: Inputs, attrs: AdamwAttributes, memory: NativeMemory): Array<TensorInfo> => {
  const { firstMoment, gradient, parameter, secondMoment } = inputs
  const results = [parameter!, firstMoment!, secondMoment!].map((tensor) => writable(tensor, memory))
  const [p, m, v] = results.map(memory.address) as [number, number, number]
  memory.native.adamw(
    p,
    memory.address(gradient!),
    m,
    v,
    sizeOf(parameter!),
    attrs.beta1,
    attrs.beta2,
    attrs.epsilon,
    attrs.decay,
    attrs.stepSize,
    attrs.denominatorScale,
    attrs.gradientScale
  )
  results.forEach(memory.written)
  return results
}
