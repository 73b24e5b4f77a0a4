import { tf, type DataType } from "../tf.ts"

interface TensorData {
  readonly dataId: object
  readonly shape: number[]
  readonly dtype: DataType
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
      kernelFunc: ({ attrs, backend: own, inputs }) => {
        const cpu: any = tf.engine().findBackend("cpu")
        const made: Array<TensorData> = []
        const toCpu = (tensor: any) => {
          const copy = cpu.makeTensorInfo(tensor.shape, tensor.dtype, (own as any).readSync(tensor.dataId).slice())
          made.push(copy)
          return copy
        }
        const cpuInputs: any = {}
        for (const [name, input] of Object.entries(inputs)) {
          cpuInputs[name] = Array.isArray(input) ? input.map(toCpu) : input == null ? input : toCpu(input)
        }
        const outputs = kernelFunc({ inputs: cpuInputs, attrs: attrs as any, backend: cpu })
        const toOwn = (info: TensorData) => {
          const values = cpu.readSync(info.dataId)
          const dataId = (own as any).write(values, info.shape, info.dtype)
          made.push(info)
          return { dataId, shape: info.shape, dtype: info.dtype }
        }
        const result = Array.isArray(outputs) ? outputs.map((info) => toOwn(info as any)) : toOwn(outputs as any)
        for (const dataId of new Set(made.map((info) => info.dataId))) cpu.disposeData(dataId, true)
        return result as any
      }
    })
  }
  return missing.map((kernel) => kernel.kernelName)
}
