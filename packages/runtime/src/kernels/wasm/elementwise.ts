import type { TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

type Inputs = Record<string, TensorInfo>

const sizeOf = ({ shape }: TensorInfo): number => shape.reduce((product, length) => product * length, 1)

/** Rows and numbers a row, for functions over the last axis. */
const rowsOf = ({ shape }: TensorInfo): readonly [number, number] => [
  sizeOf({ shape } as TensorInfo) / shape.at(-1)!,
  shape.at(-1)!
]

export const rmsNorm = ({ weight, x }: Inputs, { epsilon }: { readonly epsilon: number }, memory: NativeMemory) => {
  const out = memory.allocate(x!.shape)
  const [start, factors, to] = [x!, weight!, out].map(memory.address) as [number, number, number]
  memory.native.rmsNorm(start, factors, to, ...rowsOf(x!), epsilon)
  return out
}

export const rmsNormGradient = (inputs: Inputs, { epsilon }: { readonly epsilon: number }, memory: NativeMemory) => {
  const { dy, weight, x } = inputs
  const gradients = [memory.allocate(x!.shape), memory.zeros(weight!.shape)]
  memory.native.rmsNormGradient(...[x!, weight!, dy!, ...gradients].map(memory.address), ...rowsOf(x!), epsilon)
  return gradients
}

export const layerNorm = (inputs: Inputs, { epsilon }: { readonly epsilon: number }, memory: NativeMemory) => {
  const { bias, weight, x } = inputs
  const out = memory.allocate(x!.shape)
  memory.native.layerNorm(...[x!, weight!, bias!, out].map(memory.address), ...rowsOf(x!), epsilon)
  return out
}

export const layerNormGradient = (inputs: Inputs, { epsilon }: { readonly epsilon: number }, memory: NativeMemory) => {
  const { dy, weight, x } = inputs
  const gradients = [memory.allocate(x!.shape), memory.zeros(weight!.shape), memory.zeros(weight!.shape)]
  memory.native.layerNormGradient(...[x!, weight!, dy!, ...gradients].map(memory.address), ...rowsOf(x!), epsilon)
  return gradients
}

export const rotary = ({ cos, sin, x }: Inputs, { inverse }: { readonly inverse?: boolean }, memory: NativeMemory) => {
  const [tokens, heads, width] = x!.shape as [number, number, number]
  const out = memory.allocate(x!.shape)
  const addresses = [x!, cos!, sin!, out].map(memory.address)
  memory.native.rotary(...addresses, tokens, heads, width, cos!.shape[1]!, inverse === true ? -1 : 1)
  return out
}

const ACTIVATIONS = { silu: 0, gelu: 1, gelu_tanh: 2 } as const

interface Gated {
  readonly activation: keyof typeof ACTIVATIONS
}

export const gatedActivation = ({ gate, up }: Inputs, { activation }: Gated, memory: NativeMemory) => {
  const out = memory.allocate(gate!.shape)
  const [from, factor, to] = [gate!, up!, out].map(memory.address) as [number, number, number]
  memory.native.gatedActivation(from, factor, to, sizeOf(gate!), ACTIVATIONS[activation])
  return out
}

export const gatedActivationGradient = ({ dy, gate, up }: Inputs, { activation }: Gated, memory: NativeMemory) => {
  const gradients = [memory.allocate(gate!.shape), memory.allocate(gate!.shape)]
  const addresses = [gate!, up!, dy!, ...gradients].map(memory.address)
  memory.native.gatedActivationGradient(...addresses, sizeOf(gate!), ACTIVATIONS[activation])
  return gradients
}

export const squaredRelu = ({ x }: Inputs, _: unknown, memory: NativeMemory) => {
  const out = memory.allocate(x!.shape)
  memory.native.squaredRelu(memory.address(x!), memory.address(out), sizeOf(x!))
  return out
}

export const squaredReluGradient = ({ dy, x }: Inputs, _: unknown, memory: NativeMemory) => {
  const dx = memory.allocate(x!.shape)
  memory.native.squaredReluGradient(memory.address(x!), memory.address(dy!), memory.address(dx), sizeOf(x!))
  return dx
}
