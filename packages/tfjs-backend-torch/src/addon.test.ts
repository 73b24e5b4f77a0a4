import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, isTorchError, loadAddon, TorchUnavailable } from "./addon.ts"
import { TorchBackend } from "./backend.ts"
import { FLOAT32, INT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("the torch addon", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  const call = (name: string, overload: string, ...args: ReadonlyArray<never>) =>
    addon.call(addon.operator(name, overload), ...args)
  const vector = (...values: ReadonlyArray<number>): Handle =>
    addon.fromHost(Float32Array.from(values), [values.length], FLOAT32, "cpu")
  const read = (handle: Handle) => [
    ...addon.toHost(handle, new Float32Array(addon.shape(handle).reduce((a, b) => a * b, 1)))
  ]

  const failure = (body: () => unknown) => {
    try {
      body()
    } catch (cause) {
      if (isTorchError(cause)) return cause
      throw cause
    }
    throw new Error("nothing was thrown")
  }

  it("calls operators by name and fills in their defaults", () => {
    // add.Tensor(self, other, *, alpha=1): 1 + 2·10, 2 + 2·20
    const add = addon.operator("aten::add", "Tensor")
    expect(read(addon.call(add, vector(1, 2), vector(10, 20)) as Handle)).toEqual([11, 22])
    expect(read(addon.call(add, vector(1, 2), vector(10, 20), 2) as Handle)).toEqual([21, 42])
  })

  it("passes lists, and returns lists and several results", () => {
    const cat = addon.operator("aten::cat", "")
    const both = addon.call(cat, [vector(1, 2), vector(3)], 0) as Handle
    expect(read(both)).toEqual([1, 2, 3])
    const parts = addon.call(addon.operator("aten::split_with_sizes", ""), both, [1, 2], 0) as Array<Handle>
    expect(parts.map(read)).toEqual([[1], [2, 3]])
    const [values, places] = addon.call(addon.operator("aten::sort", ""), vector(3, 1, 2)) as Array<Handle>
    expect([read(values!), read(places!)]).toEqual([
      [1, 2, 3],
      [1, 2, 0]
    ])
  })

  it("returns nothing for what it wrote into, and no numbers beside handles", () => {
    const x = vector(1, -2)
    const before = addon.handleStatistics().handles
    expect(addon.call(addon.operator("aten::relu_", ""), x)).toBeUndefined()
    expect([read(x), addon.handleStatistics().handles]).toEqual([[1, 0], before])
    // (float, int): scale and zero point
    const range = addon.call(addon.operator("aten::_choose_qparams_per_tensor", ""), x) as Array<unknown>
    expect(range).toEqual([null, null])
    expect(addon.call(addon.operator("aten::size", "int"), x, 0)).toBe(2)
  })

  it("gives no handle twice, and takes none whose tensor is gone, also where another lies in its place", () => {
    const [known, others] = [new Set<Handle>(), [vector(1), vector(2)]]
    addon.dispose(others)
    for (let i = 0; i < 100; i++) {
      const [made] = [vector(i)]
      expect(known.has(made)).toBe(false)
      known.add(made)
      for (const gone of others) expect(failure(() => addon.shape(gone)).message).toContain("disposed")
      // freeing it again frees nothing
      addon.dispose(others)
      expect(read(made)).toEqual([i])
      addon.dispose([made])
    }
  })

  it("names the operator and the shapes in what libtorch refuses, in one line", () => {
    const error = failure(() => call("aten::mm", "", vector(1, 2) as never, vector(3) as never))
    expect([error.kind, error.operator]).toEqual(["operator", "aten::mm"])
    expect(error.shapes).toBe("Float[2], Float[1]")
    expect(error.message).not.toContain("\n")
  })

  it("says how much memory was asked for where there is too little", () => {
    const error = failure(() => call("aten::zeros", "", [1e7, 1e7] as never, FLOAT32 as never))
    expect([error.kind, error.operator]).toEqual(["out-of-memory", "aten::zeros"])
    // 10⁷·10⁷ float32 numbers.
    expect(error.bytesAsked).toBe(4e14)
  })

  // what libtorch 2.11 and 2.13 say on CUDA, raised here by an operator that takes its message as an argument
  it.each([
    ["CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of", "out-of-memory", 20 * 2 ** 20],
    ["CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of", "out-of-memory", 1.5 * 2 ** 30],
    ["CUDA error: out of memory", "out-of-memory", null],
    ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "out-of-memory", null],
    ["CUDA error: an illegal memory access was encountered", "device", null],
    ["CUDA error: device-side assert triggered", "device", null],
    ["CUDA error: uncorrectable ECC error encountered", "device", null],
    ["CUDA error: unspecified launch failure", "device", null],
    ["CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`", "device", null],
    ["cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "device", null],
    ["CUDA driver error: device not ready", "device", null],
    ["CUDA error: invalid configuration argument", "operator", null],
    ["CUDA error: invalid device function", "operator", null],
    ["cuDNN error: CUDNN_STATUS_NOT_SUPPORTED", "operator", null],
    ["Expected all tensors to be on the same device", "operator", null]
  ])(
    "tells by what libtorch says whether memory is short, the device is lost or the call was wrong: %s",
    (message, kind, bytes) => {
      const no = vector(0)
      const error = failure(() => call("aten::_assert_async", "msg", no as never, message as never))
      expect([error.kind, error.bytesAsked, error.operator]).toEqual([kind, bytes, "aten::_assert_async.msg"])
      expect(error.message).toContain(message)
      expect(error.bytesFree === null).toBe(kind !== "out-of-memory")
    }
  )

  it("refuses disposed handles, other objects, unknown operators and arguments too many, without a crash", () => {
    const gone = vector(1)
    addon.dispose([gone, gone])
    for (const body of [
      () => addon.shape(gone),
      () => call("aten::relu", "", {} as never),
      () => call("aten::relu", "", addon.operator("aten::relu", "") as never),
      () => addon.operator("aten::nothing", ""),
      () => call("aten::relu", "", vector(1) as never, 2 as never),
      () => call("aten::relu", ""),
      () => addon.fromHost(new Float32Array(3), [2, 2], FLOAT32, "cpu"),
      () => addon.call({} as never)
    ]) {
      expect(failure(body).kind).toBe("argument")
    }
  })

  it("counts the handles that are alive, and what they show", () => {
    const before = addon.handleStatistics()
    const handle = addon.fromHost(new Int32Array(6), [2, 3], INT32, "cpu")
    const during = addon.handleStatistics()
    addon.dispose([handle])
    expect([during.handles - before.handles, during.bytes - before.bytes]).toEqual([1, 24])
    expect(addon.handleStatistics()).toEqual(before)
  })

  it("tells the garbage collector of memory, not of views of it and not of what is written into", () => {
    const grown = <A>(body: () => A): readonly [A, number] => {
      const { collectableBytes: before } = addon.handleStatistics()
      return [body(), addon.handleStatistics().collectableBytes - before]
    }
    const [matrix, own] = grown(() => call("aten::zeros", "", [2, 3] as never, FLOAT32 as never) as Handle)
    const [view, ofView] = grown(() => call("aten::t", "", matrix as never) as Handle)
    const [parts, ofParts] = grown(() => call("aten::split", "Tensor", matrix as never, 1 as never) as Array<Handle>)
    const [nothing, ofSame] = grown(() => call("aten::zero_", "", matrix as never))
    const sorted = () => call("aten::sort", "", matrix as never) as Array<Handle>
    const [pair, ofPair] = grown(sorted)
    const lists = () => call("aten::_foreach_neg", "", [matrix] as never) as Array<Handle>
    const [list, ofList] = grown(lists)
    const [, freed] = grown(() => addon.dispose([matrix, view, ...parts, ...pair, ...list]))
    expect(nothing).toBeUndefined()
    // six float32; sorted numbers and their int64 places
    expect([own, ofView, ofParts, ofSame, ofPair, ofList, freed]).toEqual([24, 0, 0, 0, 72, 24, -120])
  })

  it("tells it in steps of a quarter of what there is", () => {
    const MiB = 1 << 20
    const take = (size: number) => call("aten::zeros", "", [(size * MiB) / 4] as never, FLOAT32 as never) as Handle
    /** Of 40 MiB, what the collector is told while they are there. */
    const toldOf40 = () => {
      const { toldBytes } = addon.handleStatistics()
      const passing = take(40)
      const told = addon.handleStatistics().toldBytes - toldBytes
      addon.dispose([passing])
      return told / MiB
    }
    const held = take(256)
    const besideMuch = toldOf40()
    addon.dispose([held])
    // what was left untold before is less than 16 MiB
    expect([besideMuch, Math.round(toldOf40() / 40)]).toEqual([0, 1])
  })

  it("tells it of what it found soon, and of what was freed by hand once little is left", () => {
    const MiB = 1 << 20
    const take = (size: number) => call("aten::zeros", "", [(size * MiB) / 4] as never, FLOAT32 as never) as Handle
    const { toldBytes } = addon.handleStatistics()
    const [first, second, third] = [take(100), take(100), take(100)]
    const told = () => Math.round((addon.handleStatistics().toldBytes - toldBytes) / MiB)
    const after = (body: () => void) => (body(), told())
    expect(told()).toBe(300)
    expect(after(() => addon.dispose([first]))).toBe(300)
    expect(after(() => addon.collected())).toBe(200)
    expect(after(() => addon.dispose([second]))).toBe(200)
    expect(after(() => addon.dispose([third]))).toBe(0)
  })

  it("reports the allocator's bytes: of shared memory once, of temporaries at the peak, of what is freed none", () => {
    const zeros = (size: number) => call("aten::zeros", "", [size] as never, FLOAT32 as never) as Handle
    const { allocated: before } = addon.hostMemory(true)
    // blocks are longer than asked by less than a page
    const [whole, page] = [4_000_000, 4096]
    const x = zeros(whole / 4)
    const view = call("aten::narrow", "", x as never, 0 as never, 0 as never, 10 as never) as Handle
    const above = (bytes: number) => (bytes - before) / whole
    expect(above(addon.hostMemory().allocated)).toBeCloseTo(1, 2)
    // a result of one number, by way of e^(x − max) of every one
    addon.dispose([call("aten::logsumexp", "", x as never, [0] as never) as Handle])
    const { allocated: after, peakAllocated } = addon.hostMemory(true)
    expect([above(after), above(peakAllocated)]).toEqual([expect.closeTo(1, 2), expect.closeTo(2, 2)])
    expect(addon.hostMemory().peakAllocated).toBe(after)
    addon.dispose([x])
    expect(addon.hostMemory().allocated - before).toBeGreaterThan(whole - page)
    addon.dispose([view])
    expect(Math.abs(addon.hostMemory().allocated - before)).toBeLessThan(page)
  })

  it("sees that memory is shared while a view is alive", () => {
    const whole = vector(1, 2, 3)
    expect(addon.isShared(whole)).toBe(false)
    const view = addon.call(addon.operator("aten::narrow", ""), whole, 0, 1, 2) as Handle
    expect([addon.isShared(whole), addon.isShared(view)]).toEqual([true, true])
    addon.dispose([view])
    expect(addon.isShared(whole)).toBe(false)
  })

  it.skipIf(addonPath() === undefined || loadAddon().cudaStart !== undefined)(
    "says that a CPU build has no CUDA",
    () => {
      expect(() => new TorchBackend({ device: "cuda:0" })).toThrow(TorchUnavailable)
      expect(() => new TorchBackend({ device: "cuda:0" })).toThrow("built for the CPU only")
    }
  )
})
