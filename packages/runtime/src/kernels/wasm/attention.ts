import type { AttentionOptions } from "../../ops/attention.ts"
import type { TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

type Inputs = Record<string, TensorInfo>

/** {q, k, v} → [out, logNormalizer]; queries outside every row get 0. */
export const attention = ({ k, q, v }: Inputs, options: AttentionOptions, memory: NativeMemory): Array<TensorInfo> => {
  const [, heads, width] = q!.shape as [number, number, number]
  const out = memory.zeros(q!.shape)
  const logNormalizer = memory.zeros([q!.shape[0]!, heads])
  eachRow(q!, k!, options, memory, ({ firstKey, firstQuery, numbers, scratch }) =>
    memory.native.attentionRow(
      memory.address(q!) + 4 * firstQuery * heads * width,
      memory.address(k!) + firstKey,
      memory.address(v!) + firstKey,
      memory.address(out) + 4 * firstQuery * heads * width,
      memory.address(logNormalizer) + 4 * firstQuery * heads,
      ...numbers,
      scratch
    )
  )
  return [out, logNormalizer]
}

/** {q, k, v, out, logNormalizer, dy} → [dq, dk, dv] */
export const attentionGradient = (inputs: Inputs, options: AttentionOptions, memory: NativeMemory) => {
  const { dy, k, logNormalizer, out, q, v } = inputs
  const [, heads, width] = q!.shape as [number, number, number]
  const gradients = [q!, k!, v!].map(({ shape }) => memory.zeros(shape)) as [TensorInfo, TensorInfo, TensorInfo]
  const [dq, dk, dv] = gradients
  eachRow(q!, k!, options, memory, ({ firstKey, firstQuery, numbers, scratch }) => {
    const query = 4 * firstQuery * heads * width
    memory.native.attentionRowGradient(
      memory.address(q!) + query,
      memory.address(k!) + firstKey,
      memory.address(v!) + firstKey,
      memory.address(out!) + query,
      memory.address(logNormalizer!) + 4 * firstQuery * heads,
      memory.address(dy!) + query,
      memory.address(dq) + query,
      memory.address(dk) + firstKey,
      memory.address(dv) + firstKey,
      ...numbers,
      scratch
    )
  })
  return gradients
}

interface Row {
  readonly firstQuery: number
  /** Bytes from the start of k, and of v, to the row's first key. */
  readonly firstKey: number
  readonly numbers: ReadonlyArray<number>
  readonly scratch: number
}

const eachRow = (
  q: TensorInfo,
  k: TensorInfo,
  { keys, queries, scale, softCap = 0, window = 0 }: AttentionOptions,
  { native, scratch }: NativeMemory,
  use: (row: Row) => void
): void => {
  const [, heads, width] = q.shape as [number, number, number]
  const keyHeads = k.shape[1]!
  const longest = keys.lengths.reduce((most, length) => Math.max(most, length), 0)
  scratch(native.attentionScratch(longest, width), (address) => {
    for (let row = 0; row < queries.starts.length; row++) {
      const length = queries.lengths[row]!
      if (length === 0) continue
      use({
        firstQuery: queries.starts[row]!,
        firstKey: 4 * keys.starts[row]! * keyHeads * width,
        numbers: [length, keys.lengths[row]!, heads, keyHeads, width, scale, window, softCap],
        scratch: address
      })
    }
  })
}
