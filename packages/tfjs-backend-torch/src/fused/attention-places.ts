import { KEYS, QUERIES } from "./cuda/attention-tiles.ts"
import type { RowSpans } from "./row-groups.ts"

/**
 * Whether the rows are all of the tokens, one after another, and fill half of the blocks of keys that they are divided into, or more:
 * what is added up takes room for whole ones.
 */
export const fillBlocks = ({ lengths, starts }: RowSpans, tokens: number): boolean => {
  let [end, room] = [0, 0]
  for (let row = 0; row < lengths.length; row++) {
    if (lengths[row] !== 0 && starts[row] !== end) return false
    end += lengths[row]!
    room += Math.ceil(lengths[row]! / KEYS) * KEYS
  }
  return tokens > 0 && end === tokens && room <= 2 * tokens
}

/** Whether rows one after another have the same lengths. */
export const areSame = (a: RowSpans, b: RowSpans): boolean =>
  a === b || (a.lengths.length === b.lengths.length && a.lengths.every((length, row) => length === b.lengths[row]))

/** By rows, which all layers of a pass share. */
const knownPlaces = new WeakMap<RowSpans, Int32Array>()

/** Blocks of keys, [blocks, 4]: their row's start and length, the first key, the row's first tile; those with the most queries first. */
export const placesOf = (rows: RowSpans): Int32Array => {
  const known = knownPlaces.get(rows)
  if (known !== undefined) return known
  const places: Array<readonly [start: number, length: number, key: number, tile: number]> = []
  let tile = 0
  rows.lengths.forEach((length, row) => {
    for (let key = 0; key < length; key += KEYS) places.push([rows.starts[row]!, length, key, tile])
    tile += Math.ceil(length / KEYS) * (KEYS / QUERIES)
  })
  places.sort(([, length, key], [, otherLength, otherKey]) => otherLength - otherKey - (length - key))
  const made = Int32Array.from(places.flat())
  knownPlaces.set(rows, made)
  return made
}
