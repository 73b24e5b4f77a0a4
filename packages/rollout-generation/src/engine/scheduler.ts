import type { SteppedModel } from "@plumbline/models"
import type { GenerationRequest } from "../request.ts"
import { admitRows, isDue, oldest } from "./admission.ts"
import { type Drafts, draftRows } from "./draft-rows.ts"
import {
  finishRow,
  type Group,
  type GroupListener,
  hasPendingRows,
  isFull,
  isScored,
  isWhole,
  knownTokens,
  type Row,
  type SampleRow,
  tellScores,
  wholeGroup
} from "./group.ts"
import { dropPrefix, holders, type Ledger, makeLedger, preempt, reserve, stopRow } from "./ledger.ts"
import { type GroupContext, makeGroup } from "./make-group.ts"
import { inTurn } from "./turns.ts"
import { keepPages } from "./kept-pages.ts"
import type { PagePool } from "./page-pool.ts"
import type { Roots } from "./roots.ts"

export interface SchedulerOptions extends GroupContext {
  /** Rows in a step at most. */
  readonly maxRows: number
  /** New tokens in a step at most. */
  readonly maxBatchTokens: number
  /** Tokens of a page. */
  readonly pageSize: number
  /** Logits of scored tokens in a step, or those of one token where it has more. */
  readonly scoredLogits: number
  /** Rows in a step with drafts, at most; 0 for none. */
  readonly draftRows: number
  /** Whether pages of rows that have ended are kept for rows that begin alike. */
  readonly prefixCaching: boolean
}

/** What the next step computes. */
export interface Plan {
  readonly feeds: ReadonlyArray<{ readonly row: Row; readonly count: number }>
  readonly drafts: Drafts
  /** Pages to copy before it. */
  readonly copies: ReadonlyArray<readonly [from: number, to: number]>
}

export interface Scheduler {
  readonly add: (request: GenerationRequest, model: SteppedModel, listener: GroupListener) => Group
  /** Forgets a group and frees its pages. */
  readonly drop: (group: Group) => void
  /** Takes the pages of a model's rows back: each begins again with the tokens that it has. */
  readonly startOver: (model: SteppedModel) => void
  /** Chooses the next step's work and sees to its pages; without feeds there is nothing to do. */
  readonly plan: () => Plan
  /**
   * Whether the next step can be planned before the last one's tokens are read: all there is to do is the next token of
   * every running row, there are pages for it, and no token decides how another is drawn.
   */
  readonly canGoAhead: () => boolean
  /** To be called when a row's response has ended, or a prompt is computed. */
  readonly settle: (row: Row) => void
  /** Lets other rows find the pages of a row, as far as it is computed. */
  readonly keep: (row: Row) => void
  /** By age. */
  readonly groups: ReadonlyArray<Group>
  readonly running: () => number
  /** Tokens of prompts that kept pages had, since the start. */
  readonly cachedTokens: () => number
}

/** Tokens of a scored prompt at a time. */
const SCORED_CHUNK = 128
/** Tokens of scored prompts in a step, whose alternatives the host lists in about 20 ms. */
const SCORED_TOKENS = 512
/**
 * Continuous batching over a pool of pages. A row that ends makes room in the next step, for the caller that has the
 * fewest and of those got one the longest ago. One that has none need not wait for that: who has the most halts a row.
 * A row that needs a page takes it from the last in turn, which begins again later with all the tokens that it has. So
 * the oldest request always gets on, and nobody waits for ever.
 */
export const makeScheduler = (pool: PagePool, roots: Roots, options: SchedulerOptions): Scheduler => {
  const ledger = makeLedger(pool, roots, options.pageSize)
  const finish = (group: Group): void => {
    if (!isWhole(group)) return
    drop(ledger, group)
    group.listener.onDone(wholeGroup(group))
  }
  return {
    groups: ledger.groups,
    running: () => ledger.running.size,
    cachedTokens: () => ledger.cachedTokens,
    drop: (group) => drop(ledger, group),
    startOver: (model) => {
      // what was kept before has other names
      ledger.origins.delete(model)
      for (const row of holders(ledger)) if (row.group.model === model) preempt(ledger, row)
      if (options.prefixCaching) ledger.origins.set(model, String(ledger.clock++))
    },
    keep: (row) => keepPages(ledger, row),
    plan: () => plan(ledger, options),
    canGoAhead: () => canGoAhead(ledger, options),
    add: (request, model, listener) => {
      const age = ledger.clock++
      const caller = ledger.callers.get(request.caller) ?? { groups: [], lastTurn: age }
      const group = makeGroup(request, model, listener, caller, age, options)
      ledger.callers.set(request.caller, caller)
      caller.groups.push(group)
      ledger.groups.push(group)
      // a prompt of one token has nothing to score
      if (isScored(group)) tellScores(group)
      if (group.room <= 0) for (const row of group.rows) finishRow(row, undefined)
      finish(group)
      return group
    },
    settle: (row) => {
      settle(ledger, row)
      finish(row.group)
    }
  }
}

const drop = (ledger: Ledger, group: Group): void => {
  if (group.gone) return
  group.gone = true
  dropPrefix(ledger, group)
  for (const row of group.rows) stopRow(ledger, row)
  ledger.groups.splice(ledger.groups.indexOf(group), 1)
  const { caller, request } = group
  caller.groups.splice(caller.groups.indexOf(group), 1)
  if (caller.groups.length === 0) ledger.callers.delete(request.caller)
}

const settle = (ledger: Ledger, row: Row): void => {
  if (row.kind === "sample") stopRow(ledger, row)
  else {
    ledger.running.delete(row)
    row.state = "ready"
  }
  if (!hasPendingRows(row.group) && row.group.prefix?.state === "ready") dropPrefix(ledger, row.group)
}

const plan = (ledger: Ledger, options: SchedulerOptions): Plan => {
  const { maxBatchTokens, maxRows, scoredLogits } = options
  const { copies, feeds, running } = ledger
  feeds.clear()
  copies.clear()
  let budget = maxBatchTokens
  let [logits, scores] = [scoredLogits, SCORED_TOKENS]
  const feed = (row: Row): void => {
    const scored = reportedLogits(row)
    const most = scored === 0 ? budget : Math.min(budget, SCORED_CHUNK, scores, Math.ceil(logits / scored))
    const count = Math.min(rest(row), most)
    if (row.kind === "sample" && isFull(row)) return
    if (count <= 0 || feeds.has(row) || !running.has(row) || !reserve(ledger, row, count)) return
    feeds.set(row, count)
    budget -= count
    logits -= count * scored
    if (scored > 0) scores -= count
  }
  const admit = (order?: typeof oldest): void => {
    admitRows(ledger, maxRows, order)
    if (feeds.size < running.size) readingOrder(rowsInTurn(running), budget).forEach(feed)
  }
  for (const row of rowsInTurn(running)) if (rest(row) === 1) feed(row)
  admit()
  // where nobody gets on, the oldest is let in before others, and the last in turn give way until it is
  if (feeds.size === 0) admit(oldest)
  for (const holder of feeds.size === 0 ? holders(ledger) : []) {
    preempt(ledger, holder)
    admit(oldest)
    if (feeds.size > 0) break
  }
  const drafts = draftRows(ledger, options.draftRows)
  return { feeds: Array.from(feeds, ([row, count]) => ({ row, count })), drafts, copies: [...copies.values()] }
}

const rowsInTurn = (rows: Iterable<Row>): ReadonlyArray<Row> => inTurn(rows).map(({ row }) => row)

/** Tokens that the row has and the cache has not. */
const rest = (row: Row): number => knownTokens(row) - row.held

/**
 * Rows that end within half of a step's tokens go first, the shortest first: a short prompt does not wait for a long one
 * to be read. The other half is for rows in turn, so that a long one gets on as well.
 */
const readingOrder = (rows: ReadonlyArray<Row>, budget: number): ReadonlyArray<Row> => {
  let half = budget / 2
  const short = rows.toSorted((a, b) => rest(a) - rest(b)).filter((row) => (half -= rest(row)) >= 0)
  return [...short, ...rows]
}

const canGoAhead = (ledger: Ledger, { maxBatchTokens, maxRows }: SchedulerOptions): boolean => {
  const { groups, pool, running } = ledger
  const rows = [...running]
  if (rows.length > Math.min(pool.free(), maxBatchTokens) || !rows.every(isAhead)) return false
  const ending = rows.filter(isFull).length
  if (ending === rows.length) return false
  // whoever waits is let in by the step after a row ended
  const free = rows.length < maxRows || ending > 0
  return free ? groups.every((group) => !hasPendingRows(group) && isScored(group)) : !isDue(ledger)
}

const isAhead = (row: Row): row is SampleRow => {
  return row.kind === "sample" && row.ahead > 0 && !row.rules.followTokens
}

/** Logits that each token of a row has ranked. */
const reportedLogits = ({ group, kind }: Row): number =>
  kind === "prefix" && group.scores !== undefined ? group.model.config.vocabulary : 0
