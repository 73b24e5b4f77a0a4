import type { TokenRows } from "@plumbline/data"
import type { CausalLM } from "../model.ts"
import { fixedRows } from "./fixed-rows.ts"

/** Logits of one step, [R, V] end to end each. */
export interface BothWays {
  readonly recorded: ArrayLike<number>
  readonly plain: ArrayLike<number>
}

export interface StepsBothWays {
  readonly steps: ReadonlyArray<BothWays>
  /** How many steps were recorded: none where the backend, or the model, has none. */
  readonly recordings: number
}

/**
 * Steps of one new token after each of the prompts, each done first as a recording does it and then, on the same cache, as it is:
 * a row whose logits are wanted twice is not recorded.
 */
export const stepsBothWays = (
  model: CausalLM,
  prompts: ReadonlyArray<ReadonlyArray<number>>,
  count: number
): StepsBothWays => {
  const rows = fixedRows(model, prompts.length, Math.max(...prompts.map(({ length }) => length)) + count)
  const logits = (tokens: TokenRows, index: ReadonlyArray<number>) => {
    const made = rows.step(tokens, Int32Array.from(index))
    const values = made.dataSync()
    made.dispose()
    return values
  }
  const places = prompts.map((_, row) => row)
  logits(spans(prompts, rows.lengths), [0])
  const steps = Array.from({ length: count }, (_, step): BothWays => {
    const next = prompts.map((prompt, row) => [prompt[(5 * step + row) % prompt.length]!])
    const held = rows.lengths.slice()
    const recorded = logits(spans(next, held), places)
    rows.lengths.set(held)
    const plain = logits(spans(next, held), [...places, 0]).slice(0, recorded.length)
    return { recorded, plain }
  })
  const recordings = [...rows.cache.recordings.values()].reduce((total, { size }) => total + size, 0)
  rows.dispose()
  return { steps, recordings }
}

/** Tokens of each row after those that it holds, end to end. */
const spans = (tokens: ReadonlyArray<ReadonlyArray<number>>, held: Int32Array): TokenRows => {
  const lengths = Int32Array.from(tokens, ({ length }) => length)
  let end = 0
  return {
    tokens: Int32Array.from(tokens.flat()),
    positions: Int32Array.from(tokens.flatMap((row, r) => row.map((_, i) => held[r]! + i))),
    starts: lengths.map((length) => (end += length) - length),
    lengths
  }
}
