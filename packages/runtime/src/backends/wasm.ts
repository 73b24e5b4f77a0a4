// oxlint-disable-next-line import/no-unassigned-import -- importing it registers the backend and its kernels
import "@tensorflow/tfjs-backend-wasm"
import type { HostArray, HostMemory, TensorInfo } from "../kernels/host-memory.ts"
import { tf } from "../tf.ts"

interface HeapTensor {
  id: number
  readonly memoryOffset: number
  readonly refCount: number
}

/** What we use of tfjs-backend-wasm's backend object. */
export interface WasmBackend {
  readonly wasm: {
    readonly HEAPU8: Uint8Array
    /** The whole memory; it grows by pages of 64 KiB, and throws where it cannot. */
    readonly asm: { readonly memory: { grow: (pages: number) => number; readonly buffer: ArrayBuffer } }
    /** The address, as a signed number. */
    _malloc: (bytes: number) => number
    readonly _free: (offset: number) => void
    readonly tfjs: {
      readonly registerTensor: (id: number, size: number, offset: number) => void
      readonly disposeData: (id: number) => void
    }
  }
  dataIdNextNumber: number
  readonly dataIdMap: { readonly get: (dataId: object) => HeapTensor }
  readonly makeOutput: (shape: ReadonlyArray<number>, dtype: string) => TensorInfo
  /** A view on a tensor's values in the WebAssembly heap; invalid once the heap has grown (any allocation may). */
  readonly typedArrayFromHeap: (tensor: TensorInfo) => HostArray
  readonly incRef: (dataId: object) => void
}

export const wasmBackend = (): WasmBackend => tf.engine().findBackend("wasm") as unknown as WasmBackend

export const wasmMemory = (): HostMemory => {
  const backend = wasmBackend()
  return {
    view: backend.typedArrayFromHeap.bind(backend),
    allocate: (shape, dtype = "float32") => backend.makeOutput([...shape], dtype),
    share: ({ dataId, dtype, shape }) => {
      backend.incRef(dataId)
      return { dataId, dtype, shape }
    },
    isShared: ({ dataId }) => backend.dataIdMap.get(dataId).refCount > 1,
    written: (tensor) => forgetPacked(backend, tensor)
  }
}

/**
 * The backend's matMul keeps its right operand packed, by the operand's number. Values written in place would never
 * reach it, so a written tensor gets a new number on the same memory.
 */
const forgetPacked = (backend: WasmBackend, { dataId, shape }: TensorInfo): void => {
  const data = backend.dataIdMap.get(dataId)
  const size = shape.reduce((product, length) => product * length, 1)
  backend.wasm.tfjs.disposeData(data.id)
  data.id = backend.dataIdNextNumber++
  backend.wasm.tfjs.registerTensor(data.id, size, data.memoryOffset)
}
