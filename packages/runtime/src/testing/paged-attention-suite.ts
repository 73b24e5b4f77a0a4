import { describe, expect, it } from "vitest"
import { attention } from "../ops/attention.ts"
import { composedPagedAttention, pagedAttention, pagedRows, type PagedSpans } from "../ops/paged-attention.ts"
import { tf, type Tensor3D } from "../tf.ts"
import { expectClose, leavesNothing, noise, wave } from "./tensors.ts"

interface PagedCase {
  readonly title: string
  readonly spans: PagedSpans
  readonly window?: number
  readonly softCap?: number
}

const PAGE = 4
const PAGES = 16
const [HEADS, KEY_HEADS, WIDTH, QUERIES] = [4, 2, 6, 24] as const

const spansOf = (
  rows: ReadonlyArray<{
    readonly start: number
    readonly queries: number
    readonly keys: number
    readonly pages: ReadonlyArray<number>
  }>
): PagedSpans => {
  const width = Math.max(...rows.map(({ pages }) => pages.length))
  return {
    queries: {
      starts: Int32Array.from(rows, ({ start }) => start),
      lengths: Int32Array.from(rows, ({ queries }) => queries)
    },
    table: Int32Array.from(rows.flatMap(({ pages }) => Array.from({ length: width }, (_, i) => pages[i] ?? 99))),
    width,
    lengths: Int32Array.from(rows, ({ keys }) => keys),
    pageSize: PAGE
  }
}

// 99 in the table is beyond a row's length: reading it would fail
const cases: ReadonlyArray<PagedCase> = [
  {
    title: "single queries of rows that share their first pages",
    spans: spansOf([
      { start: 0, queries: 1, keys: 9, pages: [7, 3, 12] },
      { start: 1, queries: 1, keys: 11, pages: [7, 3, 0] },
      { start: 2, queries: 1, keys: 1, pages: [5] },
      { start: 3, queries: 1, keys: 16, pages: [8, 9, 10, 11] }
    ])
  },
  {
    title: "chunks beside single queries, an idle row, queries of no row",
    spans: spansOf([
      { start: 1, queries: 7, keys: 7, pages: [2, 1] },
      { start: 8, queries: 0, keys: 5, pages: [4, 6] },
      { start: 8, queries: 1, keys: 6, pages: [14, 13] },
      { start: 9, queries: 5, keys: 13, pages: [15, 0, 8, 3] }
    ])
  },
  {
    title: "a window that leaves pages out, and a soft cap",
    spans: spansOf([
      { start: 0, queries: 1, keys: 15, pages: [7, 3, 12, 1] },
      { start: 1, queries: 3, keys: 14, pages: [0, 2, 4, 6] },
      { start: 4, queries: 1, keys: 3, pages: [9] }
    ]),
    window: 5,
    softCap: 2
  }
]

const make = () => ({
  q: noise<Tensor3D>([QUERIES, HEADS, WIDTH], "paged q"),
  keys: noise<Tensor3D>([PAGES * PAGE, KEY_HEADS, WIDTH], "paged k"),
  values: noise<Tensor3D>([PAGES * PAGE, KEY_HEADS, WIDTH], "paged v")
})

export const pagedAttentionSuite = (): void => {
  describe.each(cases)("pagedAttention: $title", ({ softCap, spans, window }) => {
    it("is attention over each row's tokens, one row at a time", () => {
      leavesNothing(() => {
        const { keys, q, values } = make()
        const rows = pagedRows(spans, PAGES * PAGE)
        const options = { rows, scale: 0.4, window, softCap }
        const out = pagedAttention(q, keys, values, options)
        expectClose(out, composedPagedAttention(q, keys, values, options), 1e-5)
        expectClose(out, rowByRow(q, keys, values, spans, { window, softCap }), 1e-5)
      })
    })
  })

  describe("pagedAttention", () => {
    it("reads keys by page", () => {
      // softmax(0.7·K·q)·V in float64, K and V the slots 6, 7 and 2 of waves with the phases 0.5 and 0.9, q of 0.1
      const spans = { ...spansOf([{ start: 0, queries: 1, keys: 3, pages: [3, 1] }]), pageSize: 2 }
      leavesNothing(() => {
        const [q, keys, values] = [
          wave<Tensor3D>([1, 2, 2], 0.1),
          wave<Tensor3D>([8, 1, 2], 0.5),
          wave<Tensor3D>([8, 1, 2], 0.9)
        ]
        expectClose(pagedAttention(q, keys, values, { rows: pagedRows(spans, 8), scale: 0.7 }), EXPECTED)
      })
    })

    it.each([
      ["a page that does not exist", { keys: 5, pages: [1, 16] }, "row 0 has page 16 of 16"],
      ["more keys than pages", { keys: 9, pages: [1, 2] }, "row 0 has 9 keys, its pages hold 8"],
      ["more queries than keys", { keys: 1, pages: [1, 2] }, "row 0 has 2 queries but 1 keys"]
    ])("refuses %s", (_, row, message) => {
      expect(() => pagedRows(spansOf([{ start: 0, queries: 2, ...row }]), PAGES * PAGE)).toThrow(message)
    })
  })
}

const EXPECTED = [-0.358837, -0.7673019, -0.2121628, -0.7087193]

/** Rows alone, each with its tokens laid end to end. */
const rowByRow = (q: Tensor3D, keys: Tensor3D, values: Tensor3D, spans: PagedSpans, options: object): Tensor3D => {
  const { lengths, queries, table, width } = spans
  const out: Array<Tensor3D> = []
  let end = 0
  lengths.forEach((length, row) => {
    const [start, count] = [queries.starts[row]!, queries.lengths[row]!]
    if (count === 0) return
    out.push(tf.zeros([start - end, HEADS, WIDTH]))
    const slots = Array.from({ length }, (__, t) => table[row * width + Math.floor(t / PAGE)]! * PAGE + (t % PAGE))
    const own = [keys, values].map((x) => tf.gather(x, tf.tensor1d(slots, "int32"))) as [Tensor3D, Tensor3D]
    const span = (tokens: number) => ({ starts: Int32Array.of(0), lengths: Int32Array.of(tokens) })
    const asked = tf.slice(q, [start, 0, 0], [count, -1, -1])
    out.push(attention(asked, ...own, { queries: span(count), keys: span(length), scale: 0.4, ...options }))
    end = start + count
  })
  out.push(tf.zeros([QUERIES - end, HEADS, WIDTH]))
  return tf.concat(out, 0)
}
