import { scoredCount, type TokenizedRow } from "../rows.ts"

/** What happens to a row above the maximum length. */
export type LengthPolicy = "truncate" | "drop" | "error"

/** `row` is there where it was kept, whole or cut; `tooLong` asks the caller to refuse. */
export type Fitted =
  { readonly outcome: "kept" | "truncated"; readonly row: TokenizedRow } | { readonly outcome: "dropped" | "tooLong" }

/**
 * Applies the maximum length to one row. Truncation keeps the start; a row whose prompt alone fills the length would have
 * no scored token left and is dropped.
 *
 * @param maxLength tokens
 */
export const fitToLength = (row: TokenizedRow, maxLength: number, policy: LengthPolicy): Fitted => {
  if (row.ids.length <= maxLength) return { outcome: "kept", row }
  if (policy === "error") return { outcome: "tooLong" }
  if (policy === "drop") return { outcome: "dropped" }
  const cut = { ids: row.ids.slice(0, maxLength), lossMask: row.lossMask.slice(0, maxLength) }
  return scoredCount(cut) === 0 ? { outcome: "dropped" } : { outcome: "truncated", row: cut }
}
