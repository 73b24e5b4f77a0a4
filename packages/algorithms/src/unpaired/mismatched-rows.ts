import type { TokenizedRow } from "@plumbline/data"

/**
 * Each row's prompt with the completion of the row before it; the first row gets the last one's.
 *
 * Both completions of a prompt should not stand side by side: shuffled data see to that.
 *
 * @param maxLength tokens; what goes beyond is cut at the end
 */
export const mismatchedRows = (rows: ReadonlyArray<TokenizedRow>, maxLength = Infinity): ReadonlyArray<TokenizedRow> =>
  rows.map((row, i) => exchanged(row, rows.at(i - 1)!, maxLength))

/** Index of the first token that is scored: where the completion begins. */
const completionStart = ({ lossMask }: TokenizedRow): number => lossMask.indexOf(1)

const exchanged = (asked: TokenizedRow, answered: TokenizedRow, maxLength: number): TokenizedRow => {
  const [end, start] = [completionStart(asked), completionStart(answered)]
  const length = Math.max(end, Math.min(maxLength, end + answered.ids.length - start))
  const joined = <A extends Int32Array | Uint8Array>(made: A, prompt: A, completion: A): A => {
    made.set(prompt.subarray(0, end))
    made.set(completion.subarray(start, start + length - end), end)
    return made
  }
  return {
    ids: joined(new Int32Array(length), asked.ids, answered.ids),
    lossMask: joined(new Uint8Array(length), asked.lossMask, answered.lossMask)
  }
}
