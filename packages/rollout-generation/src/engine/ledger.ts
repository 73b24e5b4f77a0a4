import type { SteppedModel } from "@plumbline/models"
import {
  type Caller,
  type Group,
  knownTokens,
  placesBefore,
  type PrefixRow,
  type Row,
  type SampleRow
} from "./group.ts"
import { keepPages, keptPages } from "./kept-pages.ts"
import type { PagePool } from "./page-pool.ts"
import type { Root, Roots } from "./roots.ts"
import { inTurn } from "./turns.ts"

/** Who is at work, and on which pages. */
export interface Ledger {
  readonly pool: PagePool
  readonly roots: Roots
  /** Pages that rows may have to themselves. */
  readonly room: number
  /** Tokens of a page. */
  readonly pageSize: number
  /** Counts arrivals of requests, starts of rows, and changes of weights where pages are kept. */
  clock: number
  /** Tokens of prompts that rows found in kept pages when they were begun, all together. */
  cachedTokens: number
  /** By age, the oldest first. */
  readonly groups: Array<Group>
  /** Those that have groups, by what their requests call them. */
  readonly callers: Map<unknown, Caller>
  readonly running: Set<Row>
  /** New tokens of each row in the step that is being planned. */
  readonly feeds: Map<Row, number>
  /** A page to copy before that step, for the row that begins with it. */
  readonly copies: Map<Row, readonly [from: number, to: number]>
  /** What pages are named after that are kept: each model as its weights are now. None where pages are not kept. */
  readonly origins: Map<SteppedModel, string>
}

export const makeLedger = (pool: PagePool, roots: Roots, pageSize: number): Ledger => ({
  pool,
  roots,
  room: pool.free(),
  pageSize,
  clock: 0,
  cachedTokens: 0,
  groups: [],
  callers: new Map(),
  running: new Set(),
  feeds: new Map(),
  copies: new Map(),
  origins: new Map()
})

export const pagesFor = ({ pageSize }: Ledger, tokens: number): number => Math.ceil(tokens / pageSize)

/** What a row can begin with: its group's prompt, or what stands before all rows of its model. */
export const originOf = ({ roots }: Ledger, { model, prefix }: Group): PrefixRow | Root | undefined =>
  prefix ?? roots.get(model)

/** Pages that a row must find free to begin: those of an origin are shared but for its last, where that has room. */
export const pagesToStart = (ledger: Ledger, row: Row, origin: PrefixRow | Root | undefined): number =>
  pagesFor(ledger, knownTokens(row)) - (origin === undefined ? 0 : Math.floor(origin.held / ledger.pageSize))

/** Starts a row that begins with what stands before all rows of its model, and with kept pages of its tokens. */
export const startAlone = (ledger: Ledger, row: Row): void => {
  const root = ledger.roots.get(row.group.model)
  const kept = keptPages(ledger, row)
  if (kept.length > 0) {
    row.pages = [...(root?.pages.slice(0, Math.floor(root.held / ledger.pageSize)) ?? []), ...kept]
    row.pages.forEach(ledger.pool.share)
    row.held = row.pages.length * ledger.pageSize
  } else if (root !== undefined) sharePages(ledger, row, root)
  countCached(ledger, row)
  startRow(ledger, row)
}

/** Counts the tokens of its prompt that a row begins with, for the whole engine and, at its first start, for its group; where pages are kept. */
const countCached = (ledger: Ledger, { group, held }: Row): void => {
  if (!ledger.origins.has(group.model)) return
  const cached = Math.max(0, Math.min(held - placesBefore(group), group.request.promptIds.length))
  ledger.cachedTokens += cached
  group.cachedTokens ??= cached
}

/** A row takes part in steps from now on; pages for all that is known of it must be free, and become its own. */
export const startRow = (ledger: Ledger, row: Row): void => {
  ledger.running.add(row)
  if (row.kind === "sample") {
    row.state = "running"
    row.group.caller.lastTurn = ledger.clock++
  }
  takePages(ledger, row, pagesFor(ledger, knownTokens(row)))
}

const takePages = ({ pool }: Ledger, row: Row, count: number): void => {
  while (row.pages.length < count) row.pages.push(pool.take(row.pages.at(-1))!)
}

/** A row leaves the step and keeps its pages, so that it can go on from there. */
export const halt = (ledger: Ledger, row: Row): void => {
  ledger.running.delete(row)
  ledger.feeds.delete(row)
  if (row.kind === "sample") row.state = "waiting"
}

/** A row leaves the step and gives its pages back; they are kept, where pages are, the first ones the longest. */
export const stopRow = (ledger: Ledger, row: Row): void => {
  keepPages(ledger, row)
  ledger.running.delete(row)
  ledger.feeds.delete(row)
  ledger.copies.delete(row)
  row.pages.toReversed().forEach(ledger.pool.release)
  row.pages = []
  row.held = 0
}

export const dropPrefix = (ledger: Ledger, group: Group): void => {
  if (group.prefix === undefined) return
  stopRow(ledger, group.prefix)
  group.prefix = undefined
}

/** Takes a row's pages; it will begin again with all the tokens that it has. */
export const preempt = (ledger: Ledger, row: Row): void => {
  if (row.kind === "prefix") return dropPrefix(ledger, row.group)
  stopRow(ledger, row)
  row.state = "waiting"
}

/** Who has pages, the last in turn first. */
export const holders = (ledger: Ledger): ReadonlyArray<Row> => lastInTurn(ledger).map(({ row }) => row)

const lastInTurn = ({ groups }: Ledger) => inTurn(groups.flatMap(rowsWithPages)).toReversed()

const rowsWithPages = ({ prefix, rows }: Group): ReadonlyArray<Row> => {
  const samples: ReadonlyArray<Row> = rows.filter(({ pages }) => pages.length > 0)
  return prefix === undefined ? samples : [prefix, ...samples]
}

/** Whether the row has, or now got, pages for `count` more tokens; it may take those of rows behind it in turn. */
export const reserve = (ledger: Ledger, row: Row, count: number): boolean => {
  const { pool } = ledger
  const need = pagesFor(ledger, row.held + count)
  if (need - row.pages.length > pool.free() && !makeRoom(ledger, row, need - row.pages.length)) return false
  takePages(ledger, row, need)
  return true
}

/**
 * Frees `count` pages for a caller without any row by preempting rows of others, but not the first one of any.
 *
 * @returns whether they are free; nobody gives way where that would not do
 */
export const makeWay = (ledger: Ledger, caller: Caller, count: number): boolean => {
  const { pool } = ledger
  const others = lastInTurn(ledger).filter(({ row, turn }) => turn > 0 && row.group.caller !== caller)
  const held = others.reduce((sum, { row }) => sum + row.pages.filter((page) => !pool.isShared(page)).length, 0)
  if (pool.free() + held < count) return false
  for (const { row } of others) {
    if (pool.free() >= count) break
    preempt(ledger, row)
  }
  return true
}

/** Frees `count` pages by preempting what is behind `row`, then the prompt its group keeps. */
const makeRoom = (ledger: Ledger, row: Row, count: number): boolean => {
  const { pool } = ledger
  for (const holder of holders(ledger)) {
    if (pool.free() >= count || holder === row) break
    preempt(ledger, holder)
  }
  if (pool.free() < count && row.kind === "sample") dropPrefix(ledger, row.group)
  return pool.free() >= count
}

/** Gives a row the pages of its group's prompt: full ones are shared, the last is copied unless nobody else needs it. */
export const startFromPrefix = (ledger: Ledger, row: SampleRow, prefix: PrefixRow, last: boolean): void => {
  if (last) {
    row.held = prefix.held
    row.pages = prefix.pages
    row.group.prefix = undefined
  } else sharePages(ledger, row, prefix)
  startRow(ledger, row)
}

/** Full pages are shared, the last is copied where it has room. */
const sharePages = ({ copies, pageSize, pool }: Ledger, row: Row, { held, pages }: Root): void => {
  const full = Math.floor(held / pageSize)
  row.held = held
  row.pages = pages.slice(0, full)
  row.pages.forEach(pool.share)
  if (full === pages.length) return
  const copy = pool.take(row.pages.at(-1))!
  row.pages.push(copy)
  copies.set(row, [pages[full]!, copy])
}
