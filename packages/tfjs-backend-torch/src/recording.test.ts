import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { FLOAT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("work recorded on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  const vector = (...values: ReadonlyArray<number>): Handle =>
    addon.fromHost(Float32Array.from(values), [values.length], FLOAT32, "cpu")
  const call = (name: string, overload: string, ...args: ReadonlyArray<unknown>) =>
    addon.call(addon.operator(`aten::${name}`, overload), ...(args as ReadonlyArray<never>))
  const read = (handle: Handle) => [...addon.toHost(handle, new Float32Array(addon.shape(handle)[0]!))]

  const recorded = (body: () => Handle) => {
    const work = addon.recordBegin()
    try {
      return { work, output: body() }
    } finally {
      addon.recordEnd(work)
    }
  }

  it("is done again on other values: views, results in lists, writes in place, memory made on the way, constants", () => {
    const input = vector(1, 2, 3, 4)
    const { output, work } = recorded(() => {
      const [first, second] = call("split_with_sizes", "", input, [3, 1]) as [Handle, Handle]
      const sum = call("add", "Tensor", first, second) as Handle
      const room = call("empty", "memory_format", [3], FLOAT32) as Handle
      const row = (handle: Handle) => call("reshape", "", handle, [1, 3]) as Handle
      addon.siluGate(row(vector(100, 100, 100)), row(sum), room)
      call("mul_", "Tensor", call("narrow", "", room, 0, 0, 1), vector(10))
      // what JavaScript frees is kept for the replays
      addon.dispose([first, second, sum])
      return call("cat", "", [room, call("t", "", input)], 0) as Handle
    })
    // silu(100) is 100 to float32's precision: 100·(x₁, x₂, x₃ + x₄), the first one times 10, and the input behind it
    expect(read(output)).toEqual([5000, 600, 700, 1, 2, 3, 4])
    addon.write(input, Float32Array.of(5, 6, 7, 8))
    addon.recordReplay(work)
    expect(read(output)).toEqual([13_000, 1400, 1500, 5, 6, 7, 8])
    addon.recordReplay(work)
    expect(read(output)).toEqual([13_000, 1400, 1500, 5, 6, 7, 8])
    addon.recordReset(work)
  })

  it("writes into what was there before, and does not make its memory shared", () => {
    const [total, step] = [vector(0, 0), vector(1, 2)]
    const { work } = recorded(() => call("add_", "Tensor", total, step) as Handle)
    expect([addon.isShared(total), addon.isShared(step)]).toEqual([false, false])
    addon.recordReplay(work)
    expect(read(total)).toEqual([2, 4])
  })

  it("is not done once a tensor that it reads is gone", () => {
    const [input, total] = [vector(1), vector(0)]
    const { work } = recorded(() => {
      call("add_", "Tensor", total, vector(1))
      return call("neg", "", input) as Handle
    })
    expect(addon.recordReplay(work)).toBe(true)
    addon.dispose([input])
    expect(addon.recordReplay(work)).toBe(false)
    expect(read(total)).toEqual([2])
  })

  it("knows what lay side by side before, and not what it makes", () => {
    const whole = vector(1, 2, 3)
    const halves = (of: Handle) => [0, 1].map((i) => call("narrow", "", of, 0, 2 * i, 2 - i)) as [Handle, Handle]
    const before = halves(whole)
    const { output, work } = recorded(() => {
      expect(addon.joined(halves(call("neg", "", whole) as Handle), 0)).toBeNull()
      return call("neg", "", addon.joined(before, 0)) as Handle
    })
    expect(read(output)).toEqual([-1, -2, -3])
    addon.write(whole, Float32Array.of(4, 5, 6))
    addon.recordReplay(work)
    expect(read(output)).toEqual([-4, -5, -6])
  })

  it("has no values from the host or for it, and no recording within", () => {
    const input = vector(1)
    recorded(() => {
      expect(() => addon.toHost(input, new Float32Array(1))).toThrow(/while work is recorded/)
      expect(() => addon.write(input, new Float32Array(1))).toThrow(/while work is recorded/)
      expect(() => addon.squareSum(input)).toThrow(/while work is recorded/)
      expect(() => addon.recordBegin()).toThrow(/recorded already/)
      return input
    })
    expect(read(input)).toEqual([1])
  })

  describe("by several threads together", () => {
    const matrix = (rows: number, width: number, of: (i: number) => number): Handle =>
      addon.fromHost(
        Float32Array.from({ length: rows * width }, (_, i) => of(i)),
        [rows, width],
        FLOAT32,
        "cpu"
      )
    const readAll = (handle: Handle, length: number) => addon.toHost(handle, new Float32Array(length))

    it.for([1, 2, 5])("has the bits of kernels one by one, with %i threads", (threads) => {
      const before = addon.threads()
      addon.threads(threads)
      try {
        const input = matrix(3, 512, (i) => Math.sin(i))
        const [up, down] = [matrix(1024, 512, (i) => Math.sin(7 * i)), matrix(512, 1024, (i) => Math.sin(3 * i))]
        const products = () => {
          let x = input
          for (let i = 0; i < 4; i++) x = addon.rowProduct(addon.rowProduct(x, up)!, down)!
          return x
        }
        const { output, work } = recorded(products)
        for (let time = 1; time <= 50; time++) {
          addon.write(
            input,
            Float32Array.from({ length: 3 * 512 }, (_, i) => Math.sin(i + time))
          )
          addon.recordReplay(work)
          if (time % 10 === 0) expect(readAll(output, 3 * 512)).toEqual(readAll(products(), 3 * 512))
        }
        expect(readAll(output, 3 * 512).every((x) => Number.isFinite(x) && x !== 0)).toBe(true)
      } finally {
        addon.threads(before)
      }
    })

    it("fails where a kernel does, and goes on with the next replay", () => {
      const ints = (...values: ReadonlyArray<number>) =>
        addon.fromHost(Int32Array.from(values), [values.length], 3, "cpu")
      const [heads, keys, values] = [matrix(1, 8, (i) => i), ...[0, 1].map(() => matrix(1, 8, () => 0))] as const
      const cache = [keys, values].map((handle) => call("reshape", "", handle, [1, 1, 8]) as Handle) as [Handle, Handle]
      const [angles, place, slot] = [matrix(1, 4, () => 0), ints(0), ints(0)]
      const { output, work } = recorded(() => {
        const room = call("empty", "memory_format", [1, 8], FLOAT32) as Handle
        addon.cacheHeads(heads, heads, heads, angles, angles, place, slot, room, ...cache)
        return call("reshape", "", room, [8]) as Handle
      })
      addon.write(place, Int32Array.of(1))
      expect(() => addon.recordReplay(work)).toThrow(/cacheHeads.*outside its tables/)
      addon.write(place, Int32Array.of(0))
      expect(addon.recordReplay(work)).toBe(true)
      expect(read(output)).toHaveLength(8)
    })
  })

  it("names the operator that fails in a replay", () => {
    const index = addon.fromHost(Int32Array.of(1), [1], 3, "cpu")
    const { work } = recorded(() => call("index_select", "", vector(1, 2), 0, index) as Handle)
    addon.write(index, Int32Array.of(7))
    expect(() => addon.recordReplay(work)).toThrow(/^aten::index_select: /)
  })
})
