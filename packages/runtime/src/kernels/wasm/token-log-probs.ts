import type { TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

interface Attributes {
  readonly targets: Int32Array
  readonly temperature: number
  /** 0 for none */
  readonly softCap: number
  readonly withSlopes: boolean
}

/** Tokens whose logits exist at one time, and the bytes they may take together. */
const CHUNK = 256
const CHUNK_BYTES = 2 ** 26

type Inputs = Record<string, TensorInfo>

export const tokenLogProbs = (inputs: Inputs, attrs: Attributes, memory: NativeMemory): Array<TensorInfo> => {
  const { native } = memory
  const count = attrs.targets.length
  const [vocabulary, width] = inputs.weight!.shape as [number, number]
  const lines = [0, 1, 2, 3].map(() => memory.allocate([count])) as [TensorInfo, TensorInfo, TensorInfo, TensorInfo]
  const slopes = attrs.withSlopes ? memory.allocate([count, width]) : undefined
  eachChunk(inputs, attrs.targets, memory, ({ logits, rows, scratch, start, targets }) => {
    const [logProbs, entropy, correct, logNormalizer] = lines.map((line) => memory.address(line) + 4 * start)
    const { softCap, temperature } = attrs
    const statistics = [logProbs!, entropy!, correct!, logNormalizer!]
    native.logitStatistics(logits, targets, rows, vocabulary, temperature, softCap, ...statistics)
    if (slopes === undefined) return
    const weight = memory.address(inputs.weight!)
    const to = memory.address(slopes) + 4 * start * width
    native.logitGradient(logits, targets, rows, vocabulary, temperature, softCap, 1, logNormalizer!, 0)
    native.gemm(rows, width, vocabulary, logits, vocabulary, 1, weight, width, 1, to, width, 0, scratch)
  })
  return slopes === undefined ? lines : [...lines, slopes]
}

/** Makes the logits again, chunk by chunk. */
export const tokenLogProbsWeightGradient = (inputs: Inputs, attrs: Attributes, memory: NativeMemory): TensorInfo => {
  const { native } = memory
  const { dy, hidden, logNormalizer } = inputs
  const [vocabulary, width] = inputs.weight!.shape as [number, number]
  const gradient = memory.zeros([vocabulary, width])
  const { softCap, temperature } = attrs
  eachChunk(inputs, attrs.targets, memory, ({ logits, rows, scratch, start, targets }) => {
    const normalizers = memory.address(logNormalizer!) + 4 * start
    const factors = memory.address(dy!) + 4 * start
    const states = memory.address(hidden!) + 4 * start * width
    const to = memory.address(gradient)
    native.logitGradient(logits, targets, rows, vocabulary, temperature, softCap, 0, normalizers, factors)
    native.gemm(vocabulary, width, rows, logits, 1, vocabulary, states, width, 1, to, width, 1, scratch)
  })
  return gradient
}

interface Chunk {
  readonly start: number
  readonly rows: number
  /** [rows, V] hidden·Wᵀ */
  readonly logits: number
  readonly targets: number
  readonly scratch: number
}

const eachChunk = (
  { hidden, weight }: Inputs,
  targets: Int32Array,
  memory: NativeMemory,
  use: (chunk: Chunk) => void
): void => {
  const { native } = memory
  const [vocabulary, width] = weight!.shape as [number, number]
  const size = Math.max(1, Math.min(CHUNK, targets.length, Math.floor(CHUNK_BYTES / 4 / vocabulary)))
  const logitBytes = 4 * size * vocabulary
  const products = [native.gemmScratch(vocabulary, width), native.gemmScratch(width, Math.max(vocabulary, size))]
  memory.upload(targets, (ids) =>
    memory.scratch(logitBytes + Math.max(...products), (logits) => {
      const scratch = logits + logitBytes
      for (let start = 0; start < targets.length; start += size) {
        const rows = Math.min(size, targets.length - start)
        const states = memory.address(hidden!) + 4 * start * width
        const output = memory.address(weight!)
        native.gemm(rows, vocabulary, width, states, width, 1, output, 1, width, logits, vocabulary, 0, scratch)
        use({ start, rows, logits, targets: ids + 4 * start, scratch })
      }
    })
  )
}
