import type { HostArray, HostMemory, TensorInfo } from "../kernels/host-memory.ts"
import { tf } from "../tf.ts"

/** What we use of tfjs-backend-cpu's backend object. */
interface CpuBackend {
  firstUse: boolean
  readonly data: { readonly get: (dataId: object) => { readonly values: HostArray; readonly refCount: number } }
  readonly makeTensorInfo: (shape: ReadonlyArray<number>, dtype: string, values: HostArray) => TensorInfo
  readonly incRef: (dataId: object) => void
}

export const cpuBackend = (): CpuBackend => tf.engine().findBackend("cpu") as unknown as CpuBackend

export const cpuMemory = (): HostMemory => {
  const backend = cpuBackend()
  return {
    view: ({ dataId }) => backend.data.get(dataId).values,
    allocate: (shape, dtype = "float32") => {
      const size = shape.reduce((product, length) => product * length, 1)
      return backend.makeTensorInfo(
        [...shape],
        dtype,
        dtype === "int32" ? new Int32Array(size) : new Float32Array(size)
      )
    },
    share: ({ dataId, dtype, shape }) => {
      backend.incRef(dataId)
      return { dataId, dtype, shape }
    },
    isShared: ({ dataId }) => backend.data.get(dataId).refCount > 1,
    written: () => undefined
  }
}

/** The cpu backend prints a banner about tfjs-node when it first stores a tensor; it serves us as a fallback. */
export const silenceNodeBanner = (): void => {
  cpuBackend().firstUse = false
}
