import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32 } from "./scalar-type.ts"

describe.skipIf(addonPath() === undefined)("products of rows on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  // numbers of both signs and many sizes, without a pattern that a wrong offset could hit
  const values = (count: number, seed: number) =>
    Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + seed) * (1 + (i % 5)))
  const matrix = (numbers: Float32Array, rows: number, type = FLOAT32): Handle => {
    const wide = addon.fromHost(numbers, [rows, numbers.length / rows], FLOAT32, "cpu")
    return type === FLOAT32 ? wide : inType(wide, type)
  }
  const inType = (handle: Handle, type: number): Handle => {
    const narrow = addon.call(addon.operator("aten::to", "dtype"), handle, type) as Handle
    addon.dispose([handle])
    return narrow
  }
  /** The upper halves of float32 numbers, rounded to the nearest. */
  const rounded = (numbers: Float32Array): Float32Array => {
    const handle = matrix(numbers, 1, BFLOAT16)
    const values = addon.toHost(handle, new Float32Array(numbers.length))
    addon.dispose([handle])
    return values
  }

  /** The second half of each row is the first one, times the sign. */
  const cancelling = (numbers: Float32Array, inner: number, sign: number): Float32Array =>
    numbers.map((number, i) => (i % inner < inner / 2 ? number : sign * numbers[i - inner / 2]!))

  /** x·Wᵀ by rowProduct; undefined where it leaves that to ATen. */
  const product = (
    x: Float32Array,
    weight: Float32Array,
    rows: number,
    outputs: number,
    type = FLOAT32,
    lanes?: number
  ) => {
    const [left, right] = [matrix(x, rows, type), matrix(weight, outputs, type)]
    const made = addon.rowProduct(left, right, lanes)
    const numbers = made === null ? undefined : addon.toHost(made, new Float32Array(rows * outputs))
    addon.dispose([left, right, ...(made === null ? [] : [made])])
    return numbers
  }

  // tails of tiles (4 rows and 3 weights of 8 lanes, 6 and 4 of 16), blocks (48 weights), panels (64 rows) and parts of the
  // common axis (from 1152 on, two); 776 and 1144 are no multiples of 16
  const shapes: ReadonlyArray<readonly [rows: number, outputs: number, inner: number]> = [
    [1, 50, 8],
    [2, 3, 24],
    [3, 49, 768],
    [7, 5, 776],
    [64, 97, 40],
    [5, 7, 1144],
    [1, 4, 1152],
    [127, 10, 1568],
    [11, 101, 1136],
    [70, 50, 3072]
  ]
  // 16 are 8 where the processor has no AVX-512
  const kinds = [
    ["float32", FLOAT32, 8],
    ["float32", FLOAT32, 16],
    ["bfloat16", BFLOAT16, 8],
    ["bfloat16", BFLOAT16, 16]
  ] as const

  it.each(kinds.flatMap(([name, type, lanes]) => shapes.map((shape) => [...shape, lanes, name, type] as const)))(
    "are x·Wᵀ: %i rows, %i weights, %i deep, in %i lanes, %s",
    (rows, outputs, inner, lanes, _, type) => {
      const [x, weight] = [values(rows * inner, 1), values(outputs * inner, 2)].map((numbers) =>
        type === FLOAT32 ? numbers : rounded(numbers)
      ) as [Float32Array, Float32Array]
      const own = product(x, weight, rows, outputs, type, lanes)
      // what is stored of a sum is rounded to 8 bits
      const precision = type === FLOAT32 ? 0 : 2 ** -8
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
          expect(Math.abs(own[row * outputs + output]! - sum)).toBeLessThan(1e-6 * size + precision * Math.abs(sum))
        }
      }
    }
  )

  it.each(kinds.flatMap(([name, type, lanes]) => [992, 1568].map((inner) => [inner, lanes, name, type] as const)))(
    "gives a row the same bits whatever rows are beside it: %i deep, in %i lanes, %s",
    (inner, lanes, _, type) => {
      const [rows, outputs] = [65, 29]
      // what is left of a sum is its rounding, which shows the order it was added up in
      const [x, weight] = [
        cancelling(values(rows * inner, 3), inner, -1),
        cancelling(values(outputs * inner, 4), inner, 1)
      ]
      const alone = Array.from({ length: rows }, (_row, row) =>
        product(x.slice(row * inner, (row + 1) * inner), weight, 1, outputs, type, lanes)
      )
      for (let count = 2; count <= rows; count++) {
        // the last rows, so that each meets every place of a tile
        const some = product(x.slice((rows - count) * inner), weight, count, outputs, type, lanes)
        // more rows may be left to ATen
        if (some === undefined) continue
        alone.slice(rows - count).forEach((row, i) => {
          expect(some.slice(i * outputs, (i + 1) * outputs), `row ${i} of ${count}`).toEqual(row)
        })
      }
    }
  )

  it.each([8, 16])(
    "rounds to the nearest bfloat16, of two as near to the even one, and keeps NaN: in %i lanes",
    (lanes) => {
      const [rows, outputs, inner] = [3, 19, 32]
      // 7 bits follow the first one
      const sums = [1 + 2 ** -8, 1 + 2 ** -7 + 2 ** -8, 1 + 2 ** -8 + 2 ** -15, -1 - 2 ** -8, 0, Infinity, NaN]
      const nearest = [1, 1 + 2 ** -6, 1 + 2 ** -7, -1, 0, Infinity, NaN]
      const [x, weight] = [new Float32Array(rows * inner), new Float32Array(outputs * inner)]
      for (let row = 0; row < rows; row++) x.set([1, 1, 1], row * inner + 5)
      for (let output = 0; output < outputs; output++) {
        const sum = sums[output % sums.length]!
        const whole = Number.isFinite(sum) ? Math.trunc(sum * 2 ** 7) / 2 ** 7 : sum
        const half = Number.isFinite(sum) ? Math.sign(sum) * 2 ** -8 * Number(sum !== 0) : 0
        const rest = Number.isFinite(sum) ? sum - whole - half : 0
        weight.set([whole, half, rest], output * inner + 5)
      }
      for (const count of [1, rows]) {
        const own = product(x.slice(0, count * inner), weight, count, outputs, BFLOAT16, lanes)
        if (own === undefined) return
        const expected = Array.from({ length: outputs }, (_, output) => nearest[output % nearest.length]!)
        expect([...own]).toEqual(Array.from({ length: count }, () => expected).flat())
      }
    }
  )

  it("leaves what it cannot read to ATen", () => {
    expect(product(values(20, 5), values(10, 6), 2, 1)).toBeUndefined()
    const transposed = addon.call(addon.operator("aten::t", ""), matrix(values(64, 7), 8)) as Handle
    expect(addon.rowProduct(transposed, matrix(values(64, 8), 8))).toBeNull()
  })
})
