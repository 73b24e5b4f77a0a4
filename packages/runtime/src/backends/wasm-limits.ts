import { OutOfMemory } from "../device-failure.ts"
import { tf } from "../tf.ts"
import { wasmBackend } from "./wasm.ts"

/**
 * Bytes of all tensors, and of one. The allocator adds what it needs to the end of its memory in 32 bits, without looking
 * whether the sum still fits in them: together these two must stay below 4 GiB.
 */
const MOST_MEMORY = 3 * 2 ** 30
const MOST_BYTES = 2 ** 30 - 2 ** 20

const PAGE = 2 ** 16

/** The backend's memory cannot grow by what a kernel asked for. */
class HeapFull extends Error {
  readonly bytes: number
  /** Name of the kernel, once it is known. */
  kernel: string | undefined

  constructor(bytes: number) {
    super(`no ${bytes} bytes of WebAssembly memory`)
    this.bytes = bytes
  }
}

/** What we use of tfjs's engine. */
interface Engine {
  runKernelFunc: (call: { readonly kernelName?: string }) => unknown
}

/**
 * Has the backend refuse what its memory has no room for. Its allocator says so by the address 0, which the backend does
 * not mind, and beyond 4 GiB not at all: tensors would be written over one another.
 */
export const refuseWhatDoesNotFit = (): void => {
  const { wasm } = wasmBackend()
  const { memory } = wasm.asm
  const { grow } = memory
  memory.grow = (pages) => {
    if (memory.buffer.byteLength + pages * PAGE > MOST_MEMORY) throw new RangeError("more than tensors may have")
    return grow.call(memory, pages)
  }
  // the first call puts another function in its place
  wasm._free(wasm._malloc(4))
  const { _malloc: allocate } = wasm
  wasm._malloc = (bytes) => {
    const address = bytes <= MOST_BYTES ? allocate(bytes) : 0
    if (address === 0 && bytes > 0) throw new HeapFull(bytes)
    return address
  }
  nameKernels()
}

/** Tells a failure which kernel asked. */
const nameKernels = (): void => {
  const engine = tf.engine() as unknown as Engine
  const { runKernelFunc } = engine
  engine.runKernelFunc = (call) => {
    try {
      return runKernelFunc.call(engine, call)
    } catch (cause) {
      if (cause instanceof HeapFull) cause.kernel ??= call.kernelName
      throw cause
    }
  }
}

export const wasmFailure = (cause: unknown): OutOfMemory | undefined =>
  cause instanceof HeapFull
    ? new OutOfMemory({ operator: cause.kernel ?? "an upload", shapes: "", bytesAsked: cause.bytes, bytesFree: null })
    : undefined
