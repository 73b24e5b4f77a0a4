import { tf } from "../tf.ts"
import type { TensorInfo } from "./host-memory.ts"

type Inputs = Record<string, TensorInfo | ReadonlyArray<TensorInfo> | undefined>

/** What a fallback needs of a backend, beside running kernels. */
interface ReadableBackend {
  readonly readSync: (dataId: object) => Float32Array
  readonly write: (values: object, shape: ReadonlyArray<number>, dtype: string) => object
  readonly disposeData: (dataId: object, force?: boolean) => boolean
}

/**
 * Gives `backend` every kernel that only the cpu backend has, by copying the operands to the cpu
 * implementation and the results back. Slow, never wrong; call it once, after the backend is registered.
 *
 * @returns names of the kernels that were added
 */
export const registerCpuFallbacks = (backend: string): ReadonlyArray<string> => {
  const present = new Set(tf.getKernelsForBackend(backend).map((kernel) => kernel.kernelName))
  const missing = tf.getKernelsForBackend("cpu").filter((kernel) => !present.has(kernel.kernelName))
  for (const { kernelFunc, kernelName } of missing) {
    tf.registerKernel({
      kernelName,
      backendName: backend,
      kernelFunc: ({ attrs, backend: own, inputs }) =>
        throughCpu(own as unknown as ReadableBackend, inputs as unknown as Inputs, (cpuInputs, cpu) =>
          kernelFunc({ inputs: cpuInputs as never, attrs: attrs as never, backend: cpu as never })
        ) as never
    })
  }
  return missing.map((kernel) => kernel.kernelName)
}

const throughCpu = (own: ReadableBackend, inputs: Inputs, run: (inputs: Inputs, cpu: ReadableBackend) => unknown) => {
  const cpu = tf.engine().findBackend("cpu") as unknown as ReadableBackend
  const onCpu = new Set<object>()
  const toCpu = (tensor: TensorInfo): TensorInfo => {
    const result = copy(tensor, own, cpu)
    onCpu.add(result.dataId)
    return result
  }
  const toOwn = (tensor: TensorInfo): TensorInfo => {
    onCpu.add(tensor.dataId)
    return copy(tensor, cpu, own)
  }
  try {
    const cpuInputs = Object.fromEntries(
      Object.entries(inputs).map(([name, input]) => [name, input && (isList(input) ? input.map(toCpu) : toCpu(input))])
    )
    const outputs = run(cpuInputs, cpu) as TensorInfo | ReadonlyArray<TensorInfo>
    return isList(outputs) ? outputs.map(toOwn) : toOwn(outputs)
  } finally {
    for (const dataId of onCpu) cpu.disposeData(dataId, true)
  }
}

const copy = ({ dataId, dtype, shape }: TensorInfo, from: ReadableBackend, to: ReadableBackend): TensorInfo => ({
  dataId: to.write(from.readSync(dataId), shape, dtype),
  shape,
  dtype
})

const isList = (value: TensorInfo | ReadonlyArray<TensorInfo>): value is ReadonlyArray<TensorInfo> =>
  Array.isArray(value)
