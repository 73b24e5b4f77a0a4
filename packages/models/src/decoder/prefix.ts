import type { TokenRows } from "@plumbline/data"
import type { CachedRows, KeysValues } from "./key-value-cache.ts"
import { gatherRows, gatherSlots, type RowSpans, type Tensor2D, type Tensor3D, tf } from "@plumbline/runtime"

/**
 * What stands before the tokens of every row and is no token: learnt embeddings that go through the blocks, or learnt
 * keys and values of each block. Tokens take the places behind it. Functions are synchronous and differentiable.
 */
export interface Prefix {
  /** Places that it takes. */
  readonly length: number
  /** Rows as the blocks see them behind it. */
  readonly before: (rows: TokenRows) => SeenRows
  /** [length, D] what the first block sees of it, where it goes through the blocks. */
  readonly states?: () => Tensor2D
  /** [length, K, d] what attention of a layer finds of it, where it does not. */
  readonly keysValues?: (layer: number) => KeysValues
}

/** How rows go through the blocks. */
export interface SeenRows {
  /** Of the states [N', D]. */
  readonly rows: TokenRows
  readonly keys: RowSpans
  /** Embeddings of the tokens, [N, D] → [N', D]. */
  readonly enter: (x: Tensor2D) => Tensor2D
  /** Keys and values of a layer with those before the rows, [N', K, d] → [M', K, d]; absent where there are no more. */
  readonly extend?: (layer: number, own: KeysValues) => KeysValues
  /** The tokens' own states again, [N', D] → [N, D]. */
  readonly leave: (states: Tensor2D) => Tensor2D
}

/** Rows with nothing before them. */
export const plainRows = (rows: TokenRows): SeenRows => ({
  rows,
  keys: rows,
  enter: (x) => x,
  leave: (states) => states
})

/**
 * Embeddings before every row that go through all blocks like those of tokens.
 *
 * @param states [V, D]
 * @see Lester et al. 2021, https://arxiv.org/abs/2104.08691
 */
export const embeddedPrefix = (states: () => Tensor2D, length: number): Prefix => ({
  length,
  states,
  before: (rows) => {
    const { places, spans } = behind(rows, length)
    const count = places.length
    const tokens = new Int32Array(count)
    const positions = new Int32Array(count)
    const back = new Int32Array(rows.tokens.length)
    places.forEach((place, i) => {
      if (place < length) positions[i] = place
      else {
        tokens[i] = rows.tokens[place - length]!
        positions[i] = rows.positions[place - length]! + length
        back[place - length] = i
      }
    })
    return {
      rows: { tokens, positions, ...spans },
      keys: spans,
      enter: (x) => gatherRows(tf.concat([states(), x], 0) as Tensor2D, places),
      leave: (seen) => gatherRows(seen, back)
    }
  }
})

/**
 * Keys and values before those of every row, in each layer. Keys stand as they are: no angle turns them.
 *
 * @param keysValues [V, K, d] of a layer
 * @see Li & Liang 2021, https://arxiv.org/abs/2101.00190
 */
export const keyValuePrefix = (keysValues: (layer: number) => KeysValues, length: number): Prefix => ({
  length,
  keysValues,
  before: (rows) => {
    const { places, spans } = behind(rows, length)
    const joined = (prefix: Tensor3D, own: Tensor3D) => gatherSlots(tf.concat([prefix, own], 0) as Tensor3D, places)
    return {
      rows: { ...rows, positions: rows.positions.map((position) => position + length) },
      keys: spans,
      enter: (x) => x,
      extend: (layer, { k, v }) => {
        const prefix = keysValues(layer)
        return { k: joined(prefix.k, k), v: joined(prefix.v, v) }
      },
      leave: (states) => states
    }
  }
})

/** The prefix as a row of its own, to be written into pages. */
export const prefixRows = (pages: Int32Array, length: number): CachedRows => ({
  tokens: new Int32Array(length),
  positions: Int32Array.from({ length }, (_, place) => place),
  starts: Int32Array.of(0),
  lengths: Int32Array.of(length),
  table: pages,
  width: pages.length,
  held: Int32Array.of(0)
})

/** Rows end to end, each with the prefix before it. `places` are of the prefix below `length`, flat positions + `length` above. */
const behind = (
  { lengths, starts }: TokenRows,
  length: number
): { readonly places: Int32Array; readonly spans: RowSpans } => {
  const longer = lengths.map((own) => own + length)
  const first = new Int32Array(longer.length)
  for (let row = 1; row < first.length; row++) first[row] = first[row - 1]! + longer[row - 1]!
  const places = new Int32Array(longer.reduce((sum, own) => sum + own, 0))
  starts.forEach((start, row) => {
    for (let t = 0; t < longer[row]!; t++) places[first[row]! + t] = t < length ? t : start + t
  })
  return { places, spans: { starts: first, lengths: longer } }
}
