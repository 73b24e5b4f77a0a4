import type { TokenizedRow } from "@plumbline/data"

/** Where the last run of scored tokens begins. */
export const answerStart = (lossMask: Uint8Array): number =>
  lossMask.subarray(0, lossMask.lastIndexOf(1) + 1).lastIndexOf(0) + 1

/** The last run of scored tokens of a row as its answer, and all that stands before it as the prompt. */
export const lastAnswer = ({
  ids,
  lossMask
}: TokenizedRow): { readonly prompt: Int32Array; readonly answer: TokenizedRow } => {
  const end = lossMask.lastIndexOf(1) + 1
  const start = answerStart(lossMask)
  return {
    prompt: ids.slice(0, start),
    answer: { ids: ids.slice(0, end), lossMask: new Uint8Array(end).fill(1, start) }
  }
}
