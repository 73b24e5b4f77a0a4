import {
  type Caller,
  type Group,
  isScored,
  knownTokens,
  pendingRows,
  placesBefore,
  type PrefixRow,
  type Row
} from "./group.ts"
import {
  dropPrefix,
  halt,
  type Ledger,
  makeWay,
  originOf,
  pagesFor,
  pagesToStart,
  startAlone,
  startFromPrefix,
  startRow
} from "./ledger.ts"
import { inTurn } from "./turns.ts"

/**
 * Starts rows while there is room for them, each of the caller that has the fewest. Where there is none, a caller that
 * has no row gets the place of the last in turn, if that is not its caller's only one.
 */
export const admitRows = (ledger: Ledger, maxRows: number, order: Order = longestAgo): void => {
  for (;;) {
    const full = ledger.running.size >= maxRows
    if (full && !isDue(ledger)) return
    const next = nextGroup(ledger, full ? 0 : Infinity, order)
    // nobody overtakes a group that waits for pages
    if (next === undefined || !startNext(ledger, next)) return
    if (full) halt(ledger, lastRunning(ledger)!.row)
  }
}

/** Among callers with as many rows, the one of the lowest number goes first. */
type Order = (group: Group) => number

const longestAgo: Order = ({ caller }) => caller.lastTurn

/** That in which rows take pages from one another: who was just made to give way does not come back before those ahead of it. */
export const oldest: Order = ({ age }) => age

/** Whether a caller that has no row is to get the place of another's row. */
export const isDue = (ledger: Ledger): boolean => {
  const counts = rowCounts(ledger)
  return counts.size < ledger.callers.size && Math.max(...counts.values()) > 1
}

const rowCounts = ({ running }: Ledger): ReadonlyMap<Caller, number> => {
  const counts = new Map<Caller, number>()
  for (const { group } of running) counts.set(group.caller, (counts.get(group.caller) ?? 0) + 1)
  return counts
}

const lastRunning = ({ running }: Ledger) => inTurn(running).at(-1)

/** Whose turn it is: of the callers with the fewest rows, and no more than `most`, the first in order. */
const nextGroup = (ledger: Ledger, most: number, order: Order): Group | undefined => {
  const counts = rowCounts(ledger)
  const waiting = [...ledger.callers.values()].flatMap((caller) => {
    const rows = counts.get(caller) ?? 0
    const group = rows > most ? undefined : caller.groups.find((one) => canStart(ledger, one))
    return group === undefined ? [] : [{ group, rows }]
  })
  return waiting.toSorted((a, b) => a.rows - b.rows || order(a.group) - order(b.group))[0]?.group
}

/** Whether a row of the group waits, and not for its prompt to be computed. */
const canStart = (ledger: Ledger, group: Group): boolean => {
  if (group.prefix?.state === "filling") return !ledger.running.has(group.prefix)
  return !isScored(group) || group.rows.some(({ state }) => state === "waiting")
}

/** Starts the prompt of a group or its next row, where the pages for what is known of it are to be had. */
const startNext = (ledger: Ledger, group: Group): boolean => {
  const pending = pendingRows(group)
  const halted = group.prefix?.state === "filling" ? group.prefix : pending.find(({ pages }) => pages.length > 0)
  if (halted !== undefined) return resume(ledger, halted)
  const prompt = group.request.promptIds.length - 1
  const shares = prompt > 0 && pending.length > 1 && canShare(ledger, group)
  if (group.prefix === undefined && (shares || !isScored(group))) return startPrefix(ledger, group)
  if (group.prefix !== undefined && pending.length > 1 && !shares) dropPrefix(ledger, group)
  const [next] = pending
  if (next === undefined) return false
  const { prefix } = group
  if (!hasPages(ledger, group, pagesToStart(ledger, next, originOf(ledger, group)))) return false
  if (prefix === undefined) startAlone(ledger, next)
  else startFromPrefix(ledger, next, prefix, pending.length === 1)
  return true
}

const resume = (ledger: Ledger, row: Row): boolean => {
  if (!hasPages(ledger, row.group, pagesFor(ledger, knownTokens(row)) - row.pages.length)) return false
  startRow(ledger, row)
  return true
}

const startPrefix = (ledger: Ledger, group: Group): boolean => {
  const prefix: PrefixRow = { kind: "prefix", group, held: 0, pages: [], state: "filling" }
  if (!hasPages(ledger, group, pagesToStart(ledger, prefix, originOf(ledger, group)))) return false
  group.prefix = prefix
  startAlone(ledger, prefix)
  return true
}

/** Whether so many pages are free; for a caller without any row, others give theirs. */
const hasPages = (ledger: Ledger, { caller }: Group, count: number): boolean =>
  ledger.pool.free() >= count || (!rowCounts(ledger).has(caller) && makeWay(ledger, caller, count))

/** Whether a prompt that is kept leaves pages for a whole response beside it, and one for the copy of its last page. */
const canShare = (ledger: Ledger, group: Group): boolean =>
  ledger.room > pagesFor(ledger, placesBefore(group) + group.request.promptIds.length + group.room)
