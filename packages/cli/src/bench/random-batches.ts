import { type PairUnit, pairRows, type PairRows, type SupervisedBatch } from "@plumbline/algorithms"
import { collate, splitByCount, type TokenizedRow } from "@plumbline/data"
import { philoxStream } from "@plumbline/runtime"

export interface BatchNumbers {
  /** Rows, or pairs of them, of a step. */
  readonly batch: number
  /** Of a micro-batch. */
  readonly microBatch: number
  /** Tokens of a row. */
  readonly length: number
  readonly vocabulary: number
  readonly seed: number
}

const PACKED = { layout: "packed", padId: 0 } as const

/** Rows of random tokens of which those from `scoredFrom` on count in the loss. */
const randomRows = (count: number, { length, seed, vocabulary }: BatchNumbers, scoredFrom: number) => {
  const { uint32 } = philoxStream(seed, "bench/tokens")
  return Array.from({ length: count }, (_, row): TokenizedRow => ({
    ids: new Int32Array(length).map((__, t) => uint32(row * length + t) % vocabulary),
    lossMask: new Uint8Array(length).fill(1, scoredFrom)
  }))
}

/** Micro-batches of rows of which every token counts. */
export const randomDemonstrations = (numbers: BatchNumbers): ReadonlyArray<SupervisedBatch> =>
  splitByCount(randomRows(numbers.batch, numbers, 1), numbers.microBatch).map((rows) => ({
    rows: collate(rows, PACKED),
    tokens: rows.length * numbers.length,
    origins: rows.map((_, row) => `row ${row}`)
  }))

/** Micro-batches of pairs; the first half of each row is the prompt, the second a response. */
export const randomPairs = (numbers: BatchNumbers): ReadonlyArray<PairRows> => {
  const { batch, length, microBatch } = numbers
  const rows = randomRows(2 * batch, numbers, Math.floor(length / 2))
  const pairs = Array.from({ length: batch }, (_, pair): PairUnit => {
    const [chosen, rejected] = [rows[2 * pair]!, rows[2 * pair + 1]!]
    // one prompt, two responses
    rejected.ids.set(chosen.ids.subarray(0, Math.floor(length / 2)))
    return { row: { chosen, rejected }, tokens: 2 * length, origin: `pair ${pair}` }
  })
  return splitByCount(pairs, microBatch).map((units) => pairRows(PACKED, units))
}
