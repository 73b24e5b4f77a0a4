import { ATTENTION } from "../kernels/names.ts"
import { attention, type AttentionOptions, composedAttention } from "../ops/attention.ts"
import { tf, type Tensor3D } from "../tf.ts"
import type { FusedCase } from "./fused-case.ts"
import { type Draw, drawn } from "./random-draw.ts"
import { noise } from "./tensors.ts"

/** Rows as [padding before, queries, keys of a cache before the queries' own]. */
type Rows = ReadonlyArray<readonly [gap: number, queries: number, cached: number]>

interface Layout {
  readonly name: string
  readonly rows: Rows
  /** Padding behind the last row. */
  readonly tail: number
}

const spansOf = ({ rows }: Layout, withCache: boolean) => {
  const spans = { starts: new Int32Array(rows.length), lengths: new Int32Array(rows.length), end: 0 }
  rows.forEach(([gap, queries, cached], row) => {
    spans.starts[row] = spans.end + gap
    spans.lengths[row] = queries + (withCache ? cached : 0)
    spans.end = spans.starts[row]! + spans.lengths[row]!
  })
  return spans
}

const attentionCase = (layout: Layout, draw: Draw): FusedCase => {
  const { end: queriesEnd, ...queries } = spansOf(layout, false)
  const { end: keysEnd, ...keys } = spansOf(layout, true)
  const keyHeads = draw.whole(1, 3)
  const heads = keyHeads * draw.whole(1, 4)
  const width = draw.one([1, 2, 7, 8, 16, 33])
  const options: AttentionOptions = {
    queries,
    keys,
    scale: 1 / Math.sqrt(width),
    window: draw.one([undefined, undefined, 1, 5]),
    softCap: draw.one([undefined, undefined, 3])
  }
  const [tokens, cached] = [queriesEnd + layout.tail, keysEnd + layout.tail]
  const limits = `${options.window ?? "no"} window, ${options.softCap ?? "no"} cap`
  return {
    title: `attention: ${layout.name}, heads ${heads}/${keyHeads} of ${width}, ${limits}`,
    kernel: ATTENTION,
    activations: 3,
    inputs: () => [
      noise([tokens, heads, width], "q"),
      noise([cached, keyHeads, width], "k"),
      noise([cached, keyHeads, width], "v")
    ],
    op: (q: Tensor3D, k: Tensor3D, v: Tensor3D) => attention(q, k, v, options),
    // what no row reads has a gradient of zeros, where the composition has none
    composed: (q: Tensor3D, k: Tensor3D, v: Tensor3D) =>
      tf.addN([composedAttention(q, k, v, options), ...[q, k, v].map((x) => tf.zerosLike(q).mul(tf.sum(x)))])
  }
}

const oneRow = (name: string, queries: number, cached = 0): Layout => ({
  name,
  rows: [[0, queries, cached]],
  tail: 0
})

/** What shapes alone rarely hit. */
const edges: ReadonlyArray<Layout> = [
  oneRow("a sequence of length 1", 1),
  oneRow("a sequence of odd length", 67),
  oneRow("one query after a cache", 1, 12),
  { name: "a sequence of only padding", rows: [], tail: 5 },
  { name: "a row of only padding between two", rows: [[0, 3, 0], [4, 0, 0], [0, 2, 0]], tail: 0 }, // prettier-ignore
  { name: "rows of length 1", rows: Array.from({ length: 9 }, () => [0, 1, 0] as const), tail: 2 },
  { name: "padded to the right", rows: [[0, 7, 0], [0, 1, 0], [6, 5, 0]], tail: 2 } // prettier-ignore
]

const packed = (draw: Draw): Layout => {
  const rows = Array.from({ length: draw.whole(1, 5) }, () => {
    return [draw.one([0, 0, 1, 3]), draw.one([0, 1, draw.whole(2, 40)]), draw.one([0, 0, draw.whole(1, 9)])] as const
  })
  return { name: `packed ${rows.map(([, queries]) => queries).join(", ")}`, rows, tail: draw.one([0, 2]) }
}

export const attentionCases: ReadonlyArray<FusedCase> = [
  ...edges.flatMap((layout) => drawn(layout.name, 2, (draw) => attentionCase(layout, draw))),
  ...drawn("attention", 12, (draw) => attentionCase(packed(draw), draw))
]
