import { beforeAll, describe, expect, it } from "vitest"
import { addonPath, type Handle } from "../addon.ts"
import { inScope } from "../aten.ts"
import { TorchBackend } from "../backend.ts"
import { KernelScope } from "../kernel.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"
import { composedDecode } from "./paged-composed.ts"

const [keyHeads, group, width, pageSize] = [2, 12, 20, 4]
const heads = keyHeads * group
/** The third row has no query. */
const [lengths, counts] = [
  [1, 9, 3, 16, 6],
  [1, 1, 0, 1, 1]
]
const rows = lengths.length
const pages = 4

describe.skipIf(addonPath() === undefined)("attention over pages by libtorch's operators", () => {
  let scope: KernelScope
  beforeAll(() => {
    scope = new KernelScope(new TorchBackend({ device: "cpu" }))
  })

  const noise = (count: number, seed: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed))
  const ints = (numbers: ReadonlyArray<number>, shape: ReadonlyArray<number>) =>
    scope.upload(Int32Array.from(numbers), shape, INT32)
  const table = Array.from({ length: rows * pages }, (_, i) => rows * pages - 1 - i)

  /** NaN where no token is. */
  const cache = (seed: number): Handle => {
    const numbers = noise(rows * pages * pageSize * keyHeads * width, seed)
    const step = keyHeads * width
    lengths.forEach((length, row) => {
      for (let t = length; t < pages * pageSize; t++) {
        const slot = table[row * pages + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
        numbers.fill(Number.NaN, slot * step, (slot + 1) * step)
      }
    })
    return scope.upload(numbers, [rows * pages * pageSize, keyHeads, width], FLOAT32)
  }

  it.each([
    [undefined, undefined],
    [4, undefined],
    [undefined, 2],
    [3, 5]
  ])("is what our kernel gives, window %s, soft cap %s", (window, softCap) => {
    const { addon } = scope.backend
    const [ours, composed] = inScope(() => {
      const q = scope.upload(noise(rows * heads * width, 1), [rows, heads, width], FLOAT32)
      const [keys, values] = [cache(2), cache(3)]
      const spans = ints([...lengths.keys(), ...counts, ...lengths], [3, rows])
      const places = { keys, values, table: ints(table, [rows, pages]), spans }
      const empty = () => scope.upload(new Float32Array(rows * heads * width), [rows, heads, width], FLOAT32)
      const [kernels, operators] = [empty(), empty()]
      const { spans: numbers, table: handle } = places
      addon.pagedDecode(q, keys, values, handle, numbers, kernels, pageSize, width ** -0.5, window ?? 0, softCap ?? 0)
      const call = { q, ...places, rows, tableWidth: pages, pageSize, scale: width ** -0.5, window, softCap }
      composedDecode(call, operators, scope)
      const read = (x: Handle) => addon.toHost(x, new Float32Array(rows * heads * width)) as Float32Array
      return [read(kernels), read(operators)]
    })
    for (const [row, count] of counts.entries()) {
      if (count !== 1) continue
      const own = (x: Float32Array) => x.subarray(row * heads * width, (row + 1) * heads * width)
      for (const [i, value] of own(ours!).entries()) expect(own(composed!)[i]).toBeCloseTo(value, 5)
    }
    expect(composed!.every(Number.isFinite)).toBe(true)
  })
})
