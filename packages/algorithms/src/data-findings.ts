import type { LengthLimit } from "@plumbline/data"
import type { Finding } from "@plumbline/training"
import type { ReadUnits } from "./data-file.ts"

/** What there is to say of a file that was read. @param taught whether its rows are to be imitated, ends included */
export const dataFindings = (
  file: string,
  { dataset, total }: ReadUnits<unknown>,
  { maxLength, policy }: LengthLimit,
  taught: boolean
): ReadonlyArray<Finding> => {
  const { dropped, records, rows, supervisesStop, truncated } = dataset
  const text = `${file}: ${rows.length} of ${total} rows; ${truncated} cut to ${maxLength} tokens, ${dropped} left out`
  return [
    { check: "data", verdict: "fine", text },
    ...(dropped > 0 && policy !== "drop" ? [crowdedOut(file, dropped, records, maxLength)] : []),
    ...(taught && !supervisesStop ? [neverStops(file)] : [])
  ]
}

const neverStops = (file: string): Finding => ({
  check: "end-of-turn",
  verdict: "refused",
  text: `${file}: no row teaches the model to stop: none ends with an end-of-text token`
})

const crowdedOut = (file: string, dropped: number, kept: Int32Array, maxLength: number): Finding => {
  const first = Array.from(kept).findIndex((record, i) => record !== i)
  const row = (first < 0 ? kept.length : first) + 1
  return {
    check: "prompt-length",
    verdict: "refused",
    text: `${file}: ${dropped === 1 ? "1 row is" : `${dropped} rows are`} left out, row ${row} first: the prompt alone fills ${maxLength} tokens`
  }
}
