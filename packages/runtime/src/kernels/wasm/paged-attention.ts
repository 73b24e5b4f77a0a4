import type { PagedAttentionOptions, PagedRows } from "../../ops/paged-attention.ts"
import type { TensorInfo } from "../host-memory.ts"
import type { NativeMemory } from "./native.ts"

/** {q, keys, values} → out. Pages that lie one after the other are read where they are, others are copied together. */
export const pagedAttention = (
  { keys, q, values }: Record<string, TensorInfo>,
  { rows, scale, softCap = 0, window = 0 }: PagedAttentionOptions,
  memory: NativeMemory
): TensorInfo => {
  const { native } = memory
  const [tokens, heads, width] = q!.shape as [number, number, number]
  const keyHeads = keys!.shape[1]!
  const slotBytes = 4 * keyHeads * width
  const visible = visibleKeys(rows, window)
  const longest = visible.reduce((most, { count }) => Math.max(most, count), 0)
  const out = memory.zeros(q!.shape)
  const scratchBytes = native.attentionScratch(longest, width)
  // the kernel writes normalizers for a gradient that is never asked for
  const normalizerBytes = 4 * tokens * heads
  memory.scratch(scratchBytes + normalizerBytes + 2 * longest * slotBytes + 16, (scratch) => {
    const normalizers = scratch + scratchBytes
    const copies = normalizers + normalizerBytes
    visible.forEach(({ count, runs }, row) => {
      const length = rows.queries.lengths[row]!
      if (length === 0) return
      const first = 4 * rows.queries.starts[row]! * heads * width
      const [rowKeys, rowValues] = [keys!, values!].map((tensor, i) => {
        const from = memory.address(tensor)
        if (runs.length === 1) return from + runs[0]!.slot * slotBytes
        return copyRuns(memory, from, copies + i * longest * slotBytes, runs, slotBytes)
      }) as [number, number]
      native.attentionRow(
        memory.address(q!) + first,
        rowKeys,
        rowValues,
        memory.address(out) + first,
        normalizers,
        length,
        count,
        heads,
        keyHeads,
        width,
        scale,
        window,
        softCap,
        scratch
      )
    })
  })
  return out
}

/** Slots one after the other. */
interface Run {
  readonly slot: number
  readonly count: number
}

/** The keys that a row's queries can see, from a page's border on. */
const visibleKeys = (
  { lengths, pageSize, queries, table, width }: PagedRows,
  window: number
): ReadonlyArray<{ readonly count: number; readonly runs: ReadonlyArray<Run> }> =>
  Array.from(lengths, (length, row) => {
    const hidden = window === 0 ? 0 : Math.max(0, length - queries.lengths[row]! - window + 1)
    const firstPage = Math.floor(hidden / pageSize)
    const runs: Array<{ slot: number; count: number }> = []
    for (let page = firstPage; page * pageSize < length; page++) {
      const slot = table[row * width + page]! * pageSize
      const count = Math.min(pageSize, length - page * pageSize)
      const last = runs.at(-1)
      if (last !== undefined && last.slot + last.count === slot) last.count += count
      else runs.push({ slot, count })
    }
    return { count: length - firstPage * pageSize, runs }
  })

const copyRuns = (
  { heap }: NativeMemory,
  from: number,
  to: number,
  runs: ReadonlyArray<Run>,
  slotBytes: number
): number => {
  const bytes = heap()
  let next = to
  for (const { count, slot } of runs) {
    bytes.copyWithin(next, from + slot * slotBytes, from + (slot + count) * slotBytes)
    next += count * slotBytes
  }
  return to
}
