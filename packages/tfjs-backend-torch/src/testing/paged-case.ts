import { expect } from "vitest"
import type { Addon, Handle } from "../addon.ts"
import { FLOAT32, INT32 } from "../scalar-type.ts"

/** Rows in pages, and how their last tokens attend to what is before them. */
export interface PagedCase {
  readonly name: string
  readonly keyHeads: number
  readonly group: number
  readonly width: number
  readonly lengths: ReadonlyArray<number>
  /** Of each row. */
  readonly queries: ReadonlyArray<number>
  readonly pageSize: number
  readonly window?: number
  readonly softCap?: number
}

/** Of a token, head and place: the same in whatever slot it lies; seven bits, which bfloat16 holds exactly. */
const value = (seed: number, row: number, t: number, i: number) =>
  Math.round(Math.sin(i * 12.9898 + t * 7.31 + row * 3.7 + seed) * 128) / 128

const floats = (addon: Addon, numbers: Float32Array, shape: ReadonlyArray<number>, type: number): Handle => {
  const wide = addon.fromHost(numbers, [...shape], FLOAT32, "cpu")
  if (type === FLOAT32) return wide
  const narrow = addon.call(addon.operator("aten::to", "dtype"), wide, type) as Handle
  addon.dispose([wide])
  return narrow
}

const ints = (addon: Addon, numbers: Int32Array, shape: ReadonlyArray<number>): Handle =>
  addon.fromHost(numbers, [...shape], INT32, "cpu")

/** Pages in an order that is not theirs, what no token fills being NaN. */
const paged = (addon: Addon, of: PagedCase, seed: number, table: Int32Array, type: number) => {
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
  return floats(addon, slots, [table.length * pageSize, keyHeads, width], type)
}

/** Row and place of each query, row by row. */
const queriesOf = ({ lengths, queries }: PagedCase) =>
  lengths.flatMap((length, row) =>
    Array.from({ length: queries[row]! }, (_, i) => ({ row, t: length - queries[row]! + i }))
  )

/** What a kernel of the addon writes for each query, [heads, width] row by row; NaN where it writes nothing. */
export const attended = (addon: Addon, kernel: Addon["pagedDecode"], of: PagedCase, type: number): Float32Array => {
  const { group, keyHeads, lengths, pageSize, queries, softCap = 0, width, window = 0 } = of
  const [rows, step] = [lengths.length, keyHeads * group * width]
  const most = Math.ceil(Math.max(...lengths) / pageSize)
  const table = Int32Array.from({ length: rows * most }, (_, i) => rows * most - 1 - i)
  const starts = queries.map((_, row) => queries.slice(0, row).reduce((sum, count) => sum + count, 0))
  const asked = queriesOf(of)
  const shape = [asked.length, keyHeads * group, width]
  const q = Float32Array.from({ length: asked.length * step }, (_, i) => {
    const { row, t } = asked[Math.floor(i / step)]!
    return value(1, row, t, i % step)
  })
  const tensors = [
    floats(addon, q, shape, type),
    paged(addon, of, 2, table, type),
    paged(addon, of, 3, table, type),
    ints(addon, table, [rows, most]),
    ints(addon, Int32Array.from([...starts, ...queries, ...lengths]), [3, rows]),
    floats(addon, new Float32Array(q.length).fill(Number.NaN), shape, type)
  ] as const
  kernel(...tensors, pageSize, width ** -0.5, window, softCap)
  const out = addon.toHost(tensors[5], new Float32Array(q.length)) as Float32Array
  addon.dispose([...tensors])
  return out
}

/** The same in float64, token by token. */
const weightedMeans = (of: PagedCase): ReadonlyArray<number> => {
  const { group, keyHeads, softCap = 0, width, window = 0 } = of
  return queriesOf(of).flatMap(({ row, t: last }) =>
    Array.from({ length: keyHeads * group }, (_, head) => {
      const first = window === 0 ? 0 : Math.max(0, last + 1 - window)
      const place = Math.floor(head / group) * width
      const tokens = Array.from({ length: last + 1 - first }, (__, t) => first + t)
      const scores = tokens.map((t) => {
        let score = 0
        for (let i = 0; i < width; i++) score += value(1, row, last, head * width + i) * value(2, row, t, place + i)
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
}

/** @param rounded share of a number by which what is stored may differ from it */
export const expectMeans = (own: Float32Array, of: PagedCase, rounded: number): void =>
  weightedMeans(of).forEach((number, i) => {
    expect(Math.abs(own[i]! - number), `number ${i}`).toBeLessThan(2e-6 + rounded * Math.abs(number))
  })
