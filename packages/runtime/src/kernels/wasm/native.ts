import { readFileSync } from "node:fs"
import { wasmBackend, wasmMemory } from "../../backends/wasm.ts"
import type { HostMemory, TensorInfo } from "../host-memory.ts"

type Address = number

/** The functions of ../../../assembly, compiled into kernels.wasm by `npm run build:kernels`. */
export interface NativeFunctions {
  readonly gemm: (
    ...mnk_a_b_c: [
      m: number,
      n: number,
      k: number,
      a: Address,
      aRow: number,
      aColumn: number,
      b: Address,
      bRow: number,
      bColumn: number,
      c: Address,
      cRow: number,
      accumulate: number,
      scratch: Address
    ]
  ) => void
  readonly gemmScratch: (columns: number, depth: number) => number
  readonly attentionRow: (...args: ReadonlyArray<number>) => void
  readonly attentionRowGradient: (...args: ReadonlyArray<number>) => void
  readonly attentionScratch: (keyLength: number, width: number) => number
  readonly gatedActivation: (gate: Address, up: Address, out: Address, n: number, activation: number) => void
  readonly gatedActivationGradient: (...args: ReadonlyArray<number>) => void
  readonly squaredRelu: (x: Address, out: Address, n: number) => void
  readonly squaredReluGradient: (x: Address, dy: Address, dx: Address, n: number) => void
  readonly logitStatistics: (...args: ReadonlyArray<number>) => void
  readonly logitGradient: (...args: ReadonlyArray<number>) => void
  readonly rmsNorm: (x: Address, weight: Address, out: Address, rows: number, width: number, epsilon: number) => void
  readonly rmsNormGradient: (...args: ReadonlyArray<number>) => void
  readonly layerNorm: (...args: ReadonlyArray<number>) => void
  readonly layerNormGradient: (...args: ReadonlyArray<number>) => void
  readonly rotary: (...args: ReadonlyArray<number>) => void
  readonly norm: (x: Address, n: number) => number
  readonly adamw: (...args: ReadonlyArray<number>) => void
  readonly gatherRows: (x: Address, index: Address, out: Address, count: number, width: number) => void
  readonly scatterAddRows: (x: Address, index: Address, out: Address, count: number, width: number) => void
  readonly scaleRows: (x: Address, factors: Address, out: Address, count: number, width: number) => void
  readonly transpose: (x: Address, out: Address, rows: number, columns: number) => void
}

/** What a kernel over the native functions works with. Addresses are bytes in the WebAssembly memory. */
export interface NativeMemory extends HostMemory {
  readonly native: NativeFunctions
  readonly address: (tensor: TensorInfo) => Address
  /** A new tensor of zeros. */
  readonly zeros: (shape: ReadonlyArray<number>) => TensorInfo
  /** All of the memory; invalid once it has grown. */
  readonly heap: () => Uint8Array
  /** Runs `use` with `bytes` of memory that are freed afterwards. */
  readonly scratch: <A>(bytes: number, use: (address: Address) => A) => A
  /** Runs `use` with a copy of `values`, freed afterwards. */
  readonly upload: <A>(values: Int32Array, use: (address: Address) => A) => A
}

// The DOM's declarations of WebAssembly are not among the project's libraries; these are the two calls made of it.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

/**
 * Loads the native functions into the memory of the started wasm backend.
 *
 * @throws WebAssembly.CompileError where the engine lacks relaxed SIMD
 */
export const loadNative = (): NativeMemory => {
  const backend = wasmBackend()
  const module = new WebAssembly.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)))
  const instance = new WebAssembly.Instance(module, { env: { memory: backend.wasm.asm.memory } })
  const memory = wasmMemory()
  const { _free: free, _malloc: malloc } = backend.wasm
  const scratch = <A>(bytes: number, use: (address: Address) => A): A => {
    const address = malloc(bytes) >>> 0
    try {
      return use(address)
    } finally {
      free(address)
    }
  }
  return {
    ...memory,
    native: instance.exports as NativeFunctions,
    address: ({ dataId }) => backend.dataIdMap.get(dataId).memoryOffset,
    zeros: (shape) => {
      const tensor = memory.allocate(shape)
      memory.view(tensor).fill(0)
      return tensor
    },
    heap: () => backend.wasm.HEAPU8,
    scratch,
    upload: (values, use) =>
      scratch(Math.max(4, values.byteLength), (address) => {
        new Int32Array(backend.wasm.HEAPU8.buffer, address, values.length).set(values)
        return use(address)
      })
  }
}
