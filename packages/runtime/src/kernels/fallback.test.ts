import { Effect } from "effect"
import { beforeAll, describe, expect, it, vi } from "vitest"
import { ModelRuntime } from "../model-runtime.ts"
import { leavesNothing } from "../testing/tensors.ts"
import { tf, type Tensor } from "../tf.ts"
import { registerCpuFallbacks } from "./fallback.ts"

const run = <R extends Tensor | Array<Tensor>>(kernel: string, inputs: object, attrs: object = {}) =>
  tf.engine().runKernel(kernel, inputs as never, attrs as never) as unknown as R

const values = (tensor: Tensor) => [...tensor.dataSync()]

interface CpuBackend {
  readonly makeTensorInfo: (shape: ReadonlyArray<number>, dtype: string, values: object) => object
  readonly incRef: (dataId: object) => void
}

/** A kernel only the cpu backend has, so that wasm gets it by falling back. */
const onlyOnCpu = (kernelName: string, kernel: (inputs: Record<string, any>, cpu: CpuBackend) => any) => {
  tf.registerKernel({
    kernelName,
    backendName: "cpu",
    kernelFunc: ({ backend, inputs }) => kernel(inputs, backend as unknown as CpuBackend)
  })
  registerCpuFallbacks("wasm")
}

describe("registerCpuFallbacks", () => {
  beforeAll(() => Effect.runPromise(Effect.provide(ModelRuntime, ModelRuntime.layerWasm)))

  it("leaves no kernel of the cpu backend missing", () => {
    const onWasm = new Set(tf.getKernelsForBackend("wasm").map(({ kernelName }) => kernelName))
    expect(tf.getKernelsForBackend("cpu").filter(({ kernelName }) => !onWasm.has(kernelName))).toEqual([])
    expect(registerCpuFallbacks("wasm")).toEqual([])
  })

  it("gives a kernel that wasm lacks its cpu result", () => {
    leavesNothing(() => {
      // tfjs-backend-wasm has no Unique.
      const { indices, values: unique } = tf.unique(tf.tensor1d([3, 1, 3, 2, 1], "int32"))
      expect([values(unique), unique.dtype]).toEqual([[3, 1, 2], "int32"])
      expect(values(indices)).toEqual([0, 1, 0, 2, 1])
    })
  })

  it("keeps dtypes and several outputs", () => {
    onlyOnCpu("TestSplitSigns", ({ x }, cpu) => {
      const numbers = x.values ?? (cpu as any).readSync(x.dataId)
      return [
        cpu.makeTensorInfo(
          x.shape,
          "float32",
          Float32Array.from(numbers, (n: number) => Math.abs(n))
        ),
        cpu.makeTensorInfo(
          x.shape,
          "bool",
          Uint8Array.from(numbers, (n: number) => (n < 0 ? 1 : 0))
        ),
        cpu.makeTensorInfo([1], "int32", Int32Array.of(numbers.length))
      ]
    })
    leavesNothing(() => {
      const outputs = run<Array<Tensor>>("TestSplitSigns", { x: tf.tensor1d([1.5, -2]) })
      expect(outputs.map(({ dtype }) => dtype)).toEqual(["float32", "bool", "int32"])
      expect(outputs.map(values)).toEqual([[1.5, 2], [0, 1], [2]])
    })
  })

  it("takes bool and int32 inputs, lists of inputs and absent ones", () => {
    onlyOnCpu("TestCount", (inputs, cpu) => {
      const read = ({ dataId }: { readonly dataId: object }): ArrayLike<number> => (cpu as any).readSync(dataId)
      const lists = [inputs["list"].map(read), [read(inputs["flag"])]].flat() as Array<ArrayLike<number>>
      const sum = lists.flatMap((list) => Array.from(list)).reduce((total, value) => total + value, 0)
      return cpu.makeTensorInfo([1], "int32", Int32Array.of(inputs["none"] === undefined ? sum : -1))
    })
    leavesNothing(() => {
      const list = [tf.tensor1d([1, 2], "int32"), tf.tensor1d([30], "int32")]
      const flag = tf.tensor1d([true, true, false], "bool")
      expect(values(run<Tensor>("TestCount", { list, flag }))).toEqual([35])
    })
  })

  it("copies an output that is its input", () => {
    onlyOnCpu("TestSame", ({ x }, cpu) => {
      cpu.incRef(x.dataId)
      return { dataId: x.dataId, shape: [x.shape[0] * x.shape[1]], dtype: x.dtype }
    })
    leavesNothing(() => {
      const x = tf.tensor2d([1, 2, 3, 4], [2, 2])
      const same = run<Tensor>("TestSame", { x })
      x.dispose()
      expect([same.shape, values(same)]).toEqual([[4], [1, 2, 3, 4]])
    })
  })

  it("frees the copies on the cpu backend even when the kernel throws", () => {
    const cpu = tf.engine().findBackend("cpu")
    onlyOnCpu("TestThrow", () => {
      throw new RangeError("no")
    })
    const before = cpu.numDataIds()
    leavesNothing(() => expect(() => run("TestThrow", { x: tf.ones([3]) })).toThrow("no"))
    expect(cpu.numDataIds()).toBe(before)
  })

  it("prints nothing", () => {
    const spies = [vi.spyOn(console, "warn"), vi.spyOn(console, "log"), vi.spyOn(console, "error")]
    leavesNothing(() => tf.unique(tf.tensor1d([1, 1], "int32")))
    expect(spies.flatMap((spy) => spy.mock.calls)).toEqual([])
  })
})
