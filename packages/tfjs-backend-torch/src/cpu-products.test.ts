import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { FLOAT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("products of rows on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  // numbers of both signs and many sizes, without a pattern that a wrong offset could hit
  const values = (count: number, seed: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed) * (1 + (i % 5)))
  const matrix = (numbers: Float32Array, rows: number): Handle =>
    addon.fromHost(numbers, [rows, numbers.length / rows], FLOAT32, "cpu")

  /** x·Wᵀ by rowProduct; undefined where it leaves that to ATen. */
  const product = (x: Float32Array, weight: Float32Array, rows: number, outputs: number) => {
    const [left, right] = [matrix(x, rows), matrix(weight, outputs)]
    const made = addon.rowProduct(left, right)
    const numbers = made === null ? undefined : addon.toHost(made, new Float32Array(rows * outputs))
    addon.dispose([left, right, ...(made === null ? [] : [made])])
    return numbers
  }

  // tails of tiles (4 rows, 3 weights), blocks (48 weights), panels (64 rows) and parts of the common axis (from 1152 on, two)
  it.each([
    [1, 50, 8],
    [2, 3, 24],
    [3, 49, 768],
    [7, 5, 776],
    [64, 97, 40],
    [5, 7, 1144],
    [1, 4, 1152],
    [131, 10, 1560],
    [70, 50, 3072]
  ])("are x·Wᵀ: %i rows, %i weights, %i deep", (rows, outputs, inner) => {
    const [x, weight] = [values(rows * inner, 1), values(outputs * inner, 2)]
    const own = product(x, weight, rows, outputs)
    // another processor leaves them to ATen
    if (own === undefined) return
    for (let row = 0; row < rows; row++) {
      for (let output = 0; output < outputs; output++) {
        let [sum, size] = [0, 0]
        for (let k = 0; k < inner; k++) {
          const term = x[row * inner + k]! * weight[output * inner + k]!
          sum += term
          size += Math.abs(term)
        }
        // float32 loses 6e-8 of what is added up at each step; a wrong number would be a term
        expect(Math.abs(own[row * outputs + output]! - sum)).toBeLessThan(1e-6 * size)
      }
    }
  })

  it.each([1000, 1560])("gives a row the same bits whatever rows are beside it: %i deep", (inner) => {
    const [rows, outputs] = [8, 29]
    const [x, weight] = [values(rows * inner, 3), values(outputs * inner, 4)]
    const all = product(x, weight, rows, outputs)
    for (const [from, count] of [
      [0, 1],
      [2, 5],
      [6, 2]
    ] as const) {
      const some = product(x.slice(from * inner, (from + count) * inner), weight, count, outputs)
      expect(some).toEqual(all?.slice(from * outputs, (from + count) * outputs))
    }
  })

  it("leaves what it cannot read to ATen", () => {
    expect(product(values(20, 5), values(10, 6), 2, 1)).toBeUndefined()
    const transposed = addon.call(addon.operator("aten::t", ""), matrix(values(64, 7), 8)) as Handle
    expect(addon.rowProduct(transposed, matrix(values(64, 8), 8))).toBeNull()
  })
})
