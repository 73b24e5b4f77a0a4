import type { TokenRows } from "@plumbline/data"
import type { Tensor2D } from "@plumbline/runtime"
import type { KeyValueCache } from "../decoder/key-value-cache.ts"
import type { CausalLM } from "../model.ts"

/** A cache with pages of its own for each of `rows` rows, as long as `capacity` tokens. */
export interface FixedRows {
  readonly cache: KeyValueCache
  /** [rows] tokens each row holds; set one to 0 to start the row afresh */
  readonly lengths: Int32Array
  /** Feeds new tokens, one span a row. @returns [M, V] logits at the flat positions `index` */
  readonly step: (tokens: TokenRows, index: Int32Array) => Tensor2D
  readonly dispose: () => void
}

const PAGE = 4

export const fixedRows = (model: CausalLM, rows: number, capacity: number): FixedRows => {
  const width = Math.ceil(capacity / PAGE)
  const cache = model.createCache(rows * width, PAGE)
  // neighbouring pages belong to different rows, so that nothing works by luck
  const table = Int32Array.from({ length: rows * width }, (_, i) => (i % width) * rows + Math.floor(i / width))
  const lengths = new Int32Array(rows)
  return {
    cache,
    lengths,
    step: (tokens, index) => {
      const logits = model.step({ ...tokens, table, width, held: lengths }, cache, index)
      tokens.lengths.forEach((length, row) => (lengths[row]! += length))
      return logits
    },
    dispose: cache.dispose
  }
}
