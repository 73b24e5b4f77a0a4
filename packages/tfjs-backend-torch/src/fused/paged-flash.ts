import type { Handle } from "../addon.ts"
import { aten, atenAll } from "../aten.ts"
import type { KernelScope } from "../kernel.ts"
import { INT32, INT64 } from "../scalar-type.ts"
import { cumulative } from "./row-groups.ts"

// Attention over the pages of a cache on CUDA by flash attention: rows of several queries, whose keys are gathered.

/** Rows of several queries, whose keys' slots are laid end to end. */
export interface LongRows {
  /** [R] queries and keys of each row */
  readonly queries: ReadonlyArray<number>
  readonly keys: ReadonlyArray<number>
  readonly slots: Int32Array
  readonly window: number | undefined
  readonly scale: number
}

const flash = atenAll("_flash_attention_forward")
const indexSelect = aten("index_select")

/** [ΣT, H, d] of queries laid end to end. */
export const pagedFlash = (q: Handle, keys: Handle, values: Handle, rows: LongRows, scope: KernelScope): Handle => {
  const index = scope.upload(rows.slots, [rows.slots.length], INT64)
  const ends = (lengths: ReadonlyArray<number>): Handle =>
    scope.upload(cumulative(lengths), [lengths.length + 1], INT32)
  const own = [keys, values].map((x) => indexSelect(x, 0, index))
  const most = [rows.queries, rows.keys].map((lengths) => Math.max(...lengths))
  const windows = rows.window === undefined ? [undefined, undefined] : [rows.window - 1, 0]
  const [out] = flash(q, ...own, ends(rows.queries), ends(rows.keys), ...most, 0, true, false, rows.scale, ...windows)
  return out!
}
