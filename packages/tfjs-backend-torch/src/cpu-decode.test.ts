import { beforeAll, describe, expect, it } from "vitest"
import { type Addon, addonPath, type Handle, loadAddon } from "./addon.ts"
import { BFLOAT16, FLOAT32, INT32 } from "./scalar-type.ts"

/** Keys and values of one row in the order of its tokens, and how it attends to them. */
interface Case {
  readonly name: string
  readonly keyHeads: number
  readonly group: number
  readonly width: number
  readonly lengths: ReadonlyArray<number>
  readonly pageSize: number
  readonly window?: number
  readonly softCap?: number
}

describe.skipIf(addonPath() === undefined)("attention of one new token a row on the CPU", () => {
  let addon: Addon
  beforeAll(() => {
    addon = loadAddon()
  })

  // of a token, head and place: the same in whatever slot it lies; seven bits, which bfloat16 holds exactly
  const value = (seed: number, row: number, t: number, i: number) =>
    Math.round(Math.sin(i * 12.9898 + t * 7.31 + row * 3.7 + seed) * 128) / 128
  const floats = (numbers: Float32Array, shape: ReadonlyArray<number>, type: number): Handle => {
    const wide = addon.fromHost(numbers, [...shape], FLOAT32, "cpu")
    if (type === FLOAT32) return wide
    const narrow = addon.call(addon.operator("aten::to", "dtype"), wide, type) as Handle
    addon.dispose([wide])
    return narrow
  }
  const ints = (numbers: Int32Array, shape: ReadonlyArray<number>): Handle =>
    addon.fromHost(numbers, [...shape], INT32, "cpu")

  /** Pages in an order that is not theirs, what no token fills being NaN. */
  const paged = (of: Case, seed: number, table: Int32Array, type: number) => {
    const { keyHeads, lengths, pageSize, width } = of
    const most = table.length / lengths.length
    const step = keyHeads * width
    const slots = new Float32Array(table.length * pageSize * step).fill(Number.NaN)
    lengths.forEach((length, row) => {
      for (let t = 0; t < length; t++) {
        const slot = table[row * most + Math.floor(t / pageSize)]! * pageSize + (t % pageSize)
        for (let i = 0; i < step; i++) slots[slot * step + i] = value(seed, row, t, i)
      }
    })
    return floats(slots, [table.length * pageSize, keyHeads, width], type)
  }

  const attended = (of: Case, type = FLOAT32): Float32Array => {
    const { group, keyHeads, lengths, pageSize, softCap = 0, width, window = 0 } = of
    const [rows, heads] = [lengths.length, keyHeads * group]
    const most = Math.ceil(Math.max(...lengths) / pageSize)
    const table = Int32Array.from({ length: rows * most }, (_, i) => rows * most - 1 - i)
    const spans = Int32Array.from([...lengths.keys(), ...lengths.map(() => 1), ...lengths])
    const queries = Float32Array.from({ length: rows * heads * width }, (_, i) =>
      value(1, Math.floor(i / (heads * width)), 0, i % (heads * width))
    )
    const tensors = [
      floats(queries, [rows, heads, width], type),
      paged(of, 2, table, type),
      paged(of, 3, table, type),
      ints(table, [rows, most]),
      ints(spans, [3, rows]),
      floats(new Float32Array(queries.length).fill(Number.NaN), [rows, heads, width], type)
    ] as const
    addon.pagedDecode(...tensors, pageSize, width ** -0.5, window, softCap)
    const out = addon.toHost(tensors[5], new Float32Array(queries.length)) as Float32Array
    addon.dispose([...tensors])
    return out
  }

  /** The same in float64, token by token. */
  const expected = ({ group, keyHeads, lengths, softCap = 0, width, window = 0 }: Case): ReadonlyArray<number> =>
    lengths.flatMap((length, row) =>
      Array.from({ length: keyHeads * group }, (_, head) => {
        const first = window === 0 ? 0 : Math.max(0, length - window)
        const place = Math.floor(head / group) * width
        const tokens = Array.from({ length: length - first }, (__, t) => first + t)
        const scores = tokens.map((t) => {
          let score = 0
          for (let i = 0; i < width; i++) score += value(1, row, 0, head * width + i) * value(2, row, t, place + i)
          score *= width ** -0.5
          return softCap === 0 ? score : softCap * Math.tanh(score / softCap)
        })
        const top = Math.max(...scores)
        const weights = scores.map((score) => Math.exp(score - top))
        const total = weights.reduce((sum, weight) => sum + weight, 0)
        return Array.from({ length: width }, (__, i) =>
          tokens.reduce((sum, t, j) => sum + (weights[j]! / total) * value(3, row, t, place + i), 0)
        )
      }).flat()
    )

  // tails of fours of keys, of pages, of eights of a head's numbers, and of 64 of them
  const lengths = [1, 2, 16, 17, 37, 64, 5]
  const cases: ReadonlyArray<Case> = [
    { name: "heads of 64", keyHeads: 4, group: 1, width: 64, lengths, pageSize: 16 },
    { name: "groups of 3 on heads of 80", keyHeads: 2, group: 3, width: 80, lengths, pageSize: 16 },
    { name: "heads of 20 in pages of 3", keyHeads: 3, group: 2, width: 20, lengths, pageSize: 3 },
    { name: "a window", keyHeads: 2, group: 2, width: 24, lengths, pageSize: 16, window: 11 },
    { name: "a soft cap", keyHeads: 2, group: 1, width: 16, lengths, pageSize: 4, softCap: 0.5 }
  ]

  it.each(cases)("is the weighted mean of values: $name", (of) => {
    const own = attended(of)
    expected(of).forEach((number, i) => expect(Math.abs(own[i]! - number), `number ${i}`).toBeLessThan(2e-6))
  })

  it.each(cases)("rounds nothing but what is stored in bfloat16: $name", (of) => {
    const own = attended(of, BFLOAT16)
    expected(of).forEach((number, i) => {
      // half of the last of 8 bits
      expect(Math.abs(own[i]! - number), `number ${i}`).toBeLessThan(2e-6 + 2 ** -8 * Math.abs(number))
    })
  })

  it("is the same to the bit in pages of any size, beside any rows", () => {
    const [all] = cases as [Case]
    const whole = attended(all)
    for (const pageSize of [1, 3, 7, 64]) expect(attended({ ...all, pageSize })).toEqual(whole)
    const step = all.keyHeads * all.width
    const some = attended({ ...all, lengths: lengths.slice(0, 3) })
    expect(some).toEqual(whole.slice(0, 3 * step))
  })
})
