import "@tensorflow/tfjs-backend-wasm"
import { tf } from "../tf.ts"

/** What we use of tfjs-backend-wasm's backend object. */
export interface WasmBackend {
  readonly wasm: { readonly HEAPU8: Uint8Array }
  readonly makeOutput: (
    shape: ReadonlyArray<number>,
    dtype: string,
    memoryOffset?: number,
    values?: unknown
  ) => WasmTensor
  /** A view on a tensor's values in the WebAssembly heap; invalid once the heap has grown (any allocation may). */
  readonly typedArrayFromHeap: (tensor: WasmTensor) => Float32Array & Int32Array
}

export interface WasmTensor {
  readonly dataId: object
  readonly shape: number[]
  readonly dtype: string
}

export const wasmBackend = (): WasmBackend => tf.engine().findBackend("wasm") as unknown as WasmBackend
