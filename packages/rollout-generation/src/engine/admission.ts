import { type Group, isScored, pendingRows, placesBefore, type PrefixRow } from "./group.ts"
import { dropPrefix, type Ledger, originOf, pagesFor, pagesToStart, startAlone, startFromPrefix } from "./ledger.ts"

/** Starts rows, oldest group first, while there is room for them. */
export const admitRows = (ledger: Ledger, maxRows: number): void => {
  for (const group of ledger.groups) {
    while (ledger.running.size < maxRows && startNext(ledger, group)) continue
    // what is younger does not overtake a group that waits for pages
    if (ledger.running.size >= maxRows || (isWaiting(group) && group.prefix?.state !== "filling")) return
  }
}

const isWaiting = (group: Group): boolean => pendingRows(group).length > 0 || !isScored(group)

/** Starts the prompt of a group or its next row, where the pages for what is known of it are free. */
const startNext = (ledger: Ledger, group: Group): boolean => {
  if (group.prefix?.state === "filling") return false
  const pending = pendingRows(group)
  const prompt = group.request.promptIds.length - 1
  const shares = prompt > 0 && pending.length > 1 && canShare(ledger, group)
  if (group.prefix === undefined && (shares || !isScored(group))) return startPrefix(ledger, group)
  if (group.prefix !== undefined && pending.length > 1 && !shares) dropPrefix(ledger, group)
  const [next] = pending
  if (next === undefined) return false
  const { prefix } = group
  if (ledger.pool.free() < pagesToStart(ledger, next, originOf(ledger, group))) return false
  if (prefix === undefined) startAlone(ledger, next)
  else startFromPrefix(ledger, next, prefix, pending.length === 1)
  return true
}

const startPrefix = (ledger: Ledger, group: Group): boolean => {
  const prefix: PrefixRow = { kind: "prefix", group, held: 0, pages: [], state: "filling" }
  if (ledger.pool.free() < pagesToStart(ledger, prefix, originOf(ledger, group))) return false
  group.prefix = prefix
  startAlone(ledger, prefix)
  return true
}

/** Whether a prompt that is kept leaves pages for a whole response beside it, and one for the copy of its last page. */
const canShare = (ledger: Ledger, group: Group): boolean =>
  ledger.room > pagesFor(ledger, placesBefore(group) + group.request.promptIds.length + group.room)
