import { drawnTokens, knownTokens, type Row, type SampleRow } from "./group.ts"
import { type Ledger, pagesFor, reserve } from "./ledger.ts"

/** Tokens to try behind those that a row has. */
export type Drafts = ReadonlyMap<SampleRow, ReadonlyArray<number>>

const NONE: Drafts = new Map()

/**
 * Tokens to try behind the newest ones of rows, in a step that reads nothing else. Each is drawn from the logits it would have, and
 * by the same random number; so a response is the same with drafts and without (speculative decoding, Leviathan et al., 2023,
 * where what is drafted and what is drawn share their randomness). No row gives a page for them.
 *
 * @param most rows of the step, drafted tokens being one each
 */
export const draftRows = (ledger: Ledger, most: number): Drafts => {
  const rows = [...ledger.feeds.keys()]
  const each = Math.floor(most / rows.length) - 1
  if (each < 1 || !rows.every(isNewest)) return NONE
  const drafts = new Map<SampleRow, ReadonlyArray<number>>()
  for (const row of rows as ReadonlyArray<SampleRow>) {
    // what else may be drawn would depend on the draft
    if (row.rules.followTokens) continue
    const { request, room } = row.group
    const draft = row.drafts.next(request.promptIds, row.ids, Math.min(each, room - drawnTokens(row) - 1))
    const held = 1 + draft.length
    const isFree = pagesFor(ledger, row.held + held) - row.pages.length <= ledger.pool.free()
    if (draft.length > 0 && isFree && reserve(ledger, row, held)) drafts.set(row, draft)
  }
  return drafts
}

/** Whether the row lacks nothing but its newest token. */
const isNewest = (row: Row): boolean => row.kind === "sample" && row.held + 1 === knownTokens(row)
