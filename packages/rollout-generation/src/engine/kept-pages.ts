import { createHash } from "node:crypto"
import { isScored, knownTokens, placesBefore, type Row, tokenAt } from "./group.ts"
import type { Ledger } from "./ledger.ts"

/** Gives the full pages of a row names, by which rows that begin with the same tokens find them. Nothing is done where none are kept. */
export const keepPages = (ledger: Ledger, row: Row): void => {
  // what only the device knows has no name yet
  const read = knownTokens(row) - (row.kind === "sample" ? row.ahead : 0)
  for (const [page, name] of pageNames(ledger, row, Math.min(row.held, read))) ledger.pool.name(row.pages[page]!, name)
}

/** Pages with the first tokens of a row, behind the full ones of its model's root; one token at least is left to compute. */
export const keptPages = (ledger: Ledger, row: Row): ReadonlyArray<number> => {
  const pages: Array<number> = []
  // a score needs its token's logits
  if (row.kind === "prefix" && !isScored(row.group)) return pages
  for (const [, name] of pageNames(ledger, row, knownTokens(row) - 1)) {
    const page = ledger.pool.find(name)
    if (page === undefined) break
    pages.push(page)
  }
  return pages
}

/** Of each page that the first `places` fill, behind the root's: a digest of the model, of its weights' time and of all tokens up to there. */
const pageNames = function* (
  ledger: Ledger,
  row: Row,
  places: number
): Iterable<readonly [page: number, name: string]> {
  const { origins, pageSize, roots } = ledger
  const { model } = row.group
  let name = origins.get(model)
  if (name === undefined) return
  const before = placesBefore(row.group)
  const tokens = new Int32Array(pageSize)
  for (let page = Math.floor((roots.get(model)?.held ?? 0) / pageSize); (page + 1) * pageSize <= places; page++) {
    for (let i = 0; i < pageSize; i++) {
      const place = page * pageSize + i
      tokens[i] = place < before ? -1 : tokenAt(row, place)
    }
    name = createHash("sha256").update(name).update(tokens).digest("base64")
    yield [page, name]
  }
}
