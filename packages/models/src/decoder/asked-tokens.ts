import type { TokenRows } from "@plumbline/data"
import type { RowSpans } from "@plumbline/runtime"

/** Tokens whose states are asked of the last block; it needs no more of the others than keys and values. */
export interface AskedTokens {
  /** [M] flat positions, ascending */
  readonly tokens: Int32Array
  /** The rows on these M tokens end to end: each has its last ones. */
  readonly queries: RowSpans
  /** Where among them the wanted ones are, in the order in which they were wanted. */
  readonly index: Int32Array
}

/**
 * Those of each row from its first wanted one on, as attention's queries are the last tokens of a row; undefined where that is
 * all there are.
 *
 * @param index flat positions whose states are wanted
 */
export const askedTokens = ({ lengths, starts, tokens }: TokenRows, index: Int32Array): AskedTokens | undefined => {
  const isAsked = new Uint8Array(tokens.length)
  for (const at of index) {
    if (at < 0 || at >= tokens.length) throw new RangeError(`token ${at} of ${tokens.length} is wanted`)
    isAsked[at] = 1
  }
  starts.forEach((start, row) => {
    const end = start + lengths[row]!
    const first = isAsked.subarray(start, end).indexOf(1)
    if (first >= 0) isAsked.fill(1, start + first, end)
  })
  /** [N + 1] asked tokens before each position */
  const before = new Int32Array(tokens.length + 1)
  for (let at = 0; at < tokens.length; at++) before[at + 1] = before[at]! + isAsked[at]!
  if (before[tokens.length] === tokens.length) return undefined
  const asked = new Int32Array(before[tokens.length]!)
  for (let at = 0; at < tokens.length; at++) if (isAsked[at] === 1) asked[before[at]!] = at
  return {
    tokens: asked,
    queries: {
      starts: starts.map((start) => before[start]!),
      lengths: lengths.map((length, row) => before[starts[row]! + length]! - before[starts[row]!]!)
    },
    index: index.map((at) => before[at]!)
  }
}
