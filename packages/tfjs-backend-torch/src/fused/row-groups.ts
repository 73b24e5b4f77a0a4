import type { TensorInfo } from "@tensorflow/tfjs-core"
import type { Handle } from "../addon.ts"

/** Where the rows of a flat token axis lie. */
export interface RowSpans {
  readonly starts: Int32Array
  readonly lengths: Int32Array
}

/** [R + 1] ends of rows that lie end to end, from 0 on. */
export const cumulative = (lengths: ReadonlyArray<number> | Int32Array): Int32Array => {
  const ends = new Int32Array(lengths.length + 1)
  lengths.forEach((length, row) => (ends[row + 1] = ends[row]! + length))
  return ends
}

/** What attention within a row depends on. */
export interface RowNumbers {
  readonly scale: number
  readonly window?: number | undefined
  readonly softCap?: number | undefined
}

export interface AttentionOptions extends RowNumbers {
  readonly queries: RowSpans
  readonly keys: RowSpans
}

/** q [N, H, d], k and v [M, K, d]. */
export interface Heads {
  readonly q: TensorInfo
  readonly k: TensorInfo
  readonly v: TensorInfo
}

/** out [N, H, d] and the log-normalizers, laid out as the gradient of the same path reads them. */
export type Attended = readonly [out: Handle, logNormalizer: Handle]

/** Rows that one call computes: `count` of them, one after another. */
export interface RowGroup {
  readonly count: number
  readonly firstQuery: number
  readonly firstKey: number
  readonly length: number
  readonly keyLength: number
}

/** The one group that holds every query and every key, where there is such a one. */
export const wholeGroup = (groups: ReadonlyArray<RowGroup>, queries: number, keys: number): RowGroup | undefined => {
  const [group] = groups
  const whole = group !== undefined && group.count * group.length === queries && group.count * group.keyLength === keys
  return whole ? group : undefined
}

/** Equally long rows that follow each other without a gap are one group. */
export const rowGroups = ({ keys, queries }: AttentionOptions): ReadonlyArray<RowGroup> => {
  const groups: Array<RowGroup> = []
  queries.starts.forEach((firstQuery, row) => {
    const [length, keyLength, firstKey] = [queries.lengths[row]!, keys.lengths[row]!, keys.starts[row]!]
    if (length === 0) return
    const last = groups.at(-1)
    const joins =
      last !== undefined &&
      last.length === length &&
      last.keyLength === keyLength &&
      last.firstQuery + last.count * length === firstQuery &&
      last.firstKey + last.count * keyLength === firstKey
    if (joins) groups[groups.length - 1] = { ...last, count: last.count + 1 }
    else groups.push({ count: 1, firstQuery, firstKey, length, keyLength })
  })
  return groups
}
