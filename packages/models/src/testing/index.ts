import { collate, type ScoredRows } from "@plumbline/data"
import { createModel, type CreateModelOptions, type DecoderTable } from "../create-model.ts"
import { llama } from "../families/llama.ts"
import type { CausalLM } from "../model.ts"
import { fixedRows } from "./fixed-rows.ts"

export { type FixedRows, fixedRows } from "./fixed-rows.ts"
export { type BothWays, type StepsBothWays, stepsBothWays } from "./recorded-case.ts"

/** A model that answers within a millisecond. */
export const tinyTable: DecoderTable = {
  family: llama,
  vocabulary: 32,
  width: 16,
  layers: 2,
  heads: 4,
  keyValueHeads: 2,
  mlpWidth: 24,
  maxPositions: 64,
  settings: { initializer_range: 0.3, eos_token_id: 2 }
}

export const tinyModel = (seed: number, options?: CreateModelOptions): CausalLM => createModel(tinyTable, seed, options)

/** One batch, laid end to end, of rows whose every token after the first is scored. */
export const wholeRows = (...rows: ReadonlyArray<ReadonlyArray<number>>): ScoredRows =>
  collate(
    rows.map((ids) => ({ ids: Int32Array.from(ids), lossMask: Uint8Array.from(ids, () => 1) })),
    { layout: "packed", padId: 0 }
  )

/** The most likely continuation of one prompt, through the cache, one token at a time. */
export const greedyContinuation = (model: CausalLM, prompt: ReadonlyArray<number>, count: number): Array<number> => {
  const cache = fixedRows(model, 1, prompt.length + count)
  const response: Array<number> = []
  let tokens = Int32Array.from(prompt)
  while (response.length < count) {
    const held = cache.lengths[0]!
    const rows = {
      tokens,
      positions: tokens.map((_, i) => held + i),
      starts: Int32Array.of(0),
      lengths: Int32Array.of(tokens.length)
    }
    const logits = cache.step(rows, Int32Array.of(tokens.length - 1))
    const values = logits.dataSync()
    logits.dispose()
    const best = values.indexOf(Math.max(...values))
    response.push(best)
    tokens = Int32Array.of(best)
  }
  cache.dispose()
  return response
}
