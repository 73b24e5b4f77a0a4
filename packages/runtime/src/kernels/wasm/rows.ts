import type { Kernel, TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

type Inputs = Record<string, TensorInfo>

export const embedding = ({ weight }: Inputs, { ids }: { readonly ids: Int32Array }, memory: NativeMemory) => {
  const width = weight!.shape[1]!
  const out = memory.allocate([ids.length, width])
  memory.upload(ids, (index) =>
    memory.native.gatherRows(memory.address(weight!), index, memory.address(out), ids.length, width)
  )
  return out
}

export const embeddingGradient = (
  { dy }: Inputs,
  { ids, rows }: { readonly ids: Int32Array; readonly rows: number },
  memory: NativeMemory
) => {
  const width = dy!.shape[1]!
  const gradient = memory.zeros([rows, width])
  memory.upload(ids, (index) =>
    memory.native.scatterAddRows(memory.address(dy!), index, memory.address(gradient), ids.length, width)
  )
  return gradient
}

export const scaleRows = ({ factors, x }: Inputs, _: unknown, memory: NativeMemory) => {
  const [count, width] = x!.shape as [number, number]
  const out = memory.allocate(x!.shape)
  const [from, by, to] = [x!, factors!, out].map(memory.address) as [number, number, number]
  memory.native.scaleRows(from, by, to, count, width)
  return out
}

interface Transposition {
  readonly perm: ReadonlyArray<number>
}

/** tfjs's Transpose: matrices in tiles, everything else as the backend does it (`otherwise`). */
export const transpose =
  (otherwise: Kernel<NativeMemory>): Kernel<NativeMemory> =>
  (inputs, attrs: Transposition, memory) => {
    const { x } = inputs
    if (x!.shape.length !== 2 || x!.dtype !== "float32" || attrs.perm[0] === 0) return otherwise(inputs, attrs, memory)
    const [rows, columns] = x!.shape as [number, number]
    const out = memory.allocate([columns, rows])
    memory.native.transpose(memory.address(x!), memory.address(out), rows, columns)
    return out
  }

/** tfjs's Identity, by which the tape saves tensors: a second reference, where tfjs-backend-wasm copies the values. */
export const identity = ({ x }: Inputs, _: unknown, memory: NativeMemory): TensorInfo => memory.share(x!)
