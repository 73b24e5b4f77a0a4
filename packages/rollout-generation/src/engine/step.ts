import { type CachedRows, type SteppedModel, copyPages, type DrawnTokens, type KeyValueCache } from "@plumbline/models"
import {
  canRecordSteps,
  gatherRows,
  readLater,
  sampleTokens,
  type Tensor1D,
  type Tensor2D,
  tf
} from "@plumbline/runtime"
import { knownTokens, placesBefore, type PrefixRow, type Row, type SampleRow, tokenAt } from "./group.ts"
import { samplingRows } from "./sampling-rows.ts"
import type { Plan } from "./scheduler.ts"

/** What a step made; host data. */
export interface StepResult {
  /** Rows that drew a token, in the order of the arrays. */
  readonly drawn: ReadonlyArray<SampleRow>
  /** [S] int32; −1 where nothing could be drawn */
  readonly ids: Int32Array
  /** [S] float32, nats */
  readonly samplingLogProbs: Float32Array
  /** [S] float32, nats */
  readonly policyLogProbs: Float32Array
  /** [V] logits of each row that reports alternatives. */
  readonly logits: ReadonlyMap<SampleRow, Float32Array>
  readonly scored: ReadonlyArray<ScoredToken>
}

/** A token of a prompt, and the logits that predict it. */
export interface ScoredToken {
  readonly prefix: PrefixRow
  readonly t: number
  readonly logits: Float32Array
}

/** A step that the device was given and that the host has not read. */
export interface Flight {
  readonly plan: Plan
  readonly passes: ReadonlyArray<Pass>
}

/** The rows of one model in a step. */
export interface Pass {
  readonly model: SteppedModel
  /** Of the weights that it reads. */
  readonly version: number
  readonly drawn: ReadonlyArray<SampleRow>
  /** [S] int32, the drawn tokens on the device. */
  readonly ids: Tensor1D
  /** Waits for it. To be called once. */
  readonly read: () => StepResult
}

/**
 * Feeds what the plan says, and draws the next token of every row whose tokens are all in the cache then. Rows of each
 * model go through it together, one model after the other.
 *
 * @param before the step whose drawn tokens are not read yet, where there is one
 */
export const launchStep = (cache: KeyValueCache, plan: Plan, before: Flight | undefined): Flight => {
  const { copies, feeds } = plan
  if (copies.length > 0) {
    const [from, to] = [copies.map(([page]) => page), copies.map(([, page]) => page)]
    copyPages(cache, from, to)
  }
  const models = new Set(feeds.map(({ row }) => row.group.model))
  const passes = Array.from(models, (model) => {
    const own = models.size === 1 ? feeds : feeds.filter(({ row }) => row.group.model === model)
    const unread = before?.passes.find((pass) => pass.model === model)
    return launchPass(model, cache, own, unread)
  })
  return { plan, passes }
}

const launchPass = (
  model: SteppedModel,
  cache: KeyValueCache,
  feeds: Plan["feeds"],
  before: Pass | undefined
): Pass => {
  const rows = before === undefined ? newTokens(feeds) : withUnread(newTokens(feeds), unreadTokens(feeds, before))
  const wanted = wantedLogits(feeds, rows.starts)
  let pass: Pass | undefined
  // tidy looks for tensors in all that it is given back, row by row and number by number
  tf.tidy(() => {
    const logits = model.step(rows, cache, Int32Array.from(wanted.index))
    const { ids, read } = sampledRows(logits, wanted.drawn)
    const reported = readLogits(logits, wanted)
    const version = model.version.current()
    pass = { model, version, drawn: wanted.drawn, ids, read: () => ({ ...read(), ...reported }) }
  })
  return pass!
}

/** A step that cannot be recorded takes its tokens from the host. */
const withUnread = (rows: CachedRows, drawn: DrawnTokens): CachedRows => {
  if (canRecordSteps()) return { ...rows, drawn }
  const ids = drawn.ids.dataSync()
  return { ...rows, tokens: drawn.source.map((from) => Math.max(0, ids[from]!)) }
}

const unreadTokens = (feeds: Plan["feeds"], { drawn, ids }: Pass): DrawnTokens => {
  const places = new Map<Row, number>(drawn.map((row, i) => [row, i]))
  return { ids, source: Int32Array.from(feeds, ({ row }) => places.get(row)!) }
}

interface Wanted {
  /** Flat positions whose logits are wanted: of `drawn` first, of `scored` after them. */
  readonly index: ReadonlyArray<number>
  readonly drawn: ReadonlyArray<SampleRow>
  readonly scored: ReadonlyArray<Omit<ScoredToken, "logits">>
}

const newTokens = (feeds: Plan["feeds"]): CachedRows => {
  const total = feeds.reduce((sum, { count }) => sum + count, 0)
  const width = feeds.reduce((most, { row }) => Math.max(most, row.pages.length), 1)
  const rows = {
    tokens: new Int32Array(total),
    positions: new Int32Array(total),
    starts: new Int32Array(feeds.length),
    lengths: Int32Array.from(feeds, ({ count }) => count),
    table: new Int32Array(feeds.length * width),
    width,
    held: Int32Array.from(feeds, ({ row }) => row.held)
  }
  let next = 0
  feeds.forEach(({ count, row }, r) => {
    rows.starts[r] = next
    rows.table.set(row.pages, r * width)
    for (let t = row.held; t < row.held + count; t++) {
      rows.tokens[next] = tokenAt(row, t)
      rows.positions[next++] = t
    }
  })
  return rows
}

const wantedLogits = (feeds: Plan["feeds"], starts: Int32Array): Wanted => {
  const drawn: Array<SampleRow> = []
  const scored: Array<Omit<ScoredToken, "logits">> = []
  const places: Array<number> = []
  const scoredPlaces: Array<number> = []
  feeds.forEach(({ count, row }, r) => {
    if (row.kind === "sample") {
      if (row.held + count < knownTokens(row)) return
      drawn.push(row)
      places.push(starts[r]! + count - 1)
    } else if (row.group.scores !== undefined) {
      for (let i = 0; i < count; i++) {
        scored.push({ prefix: row, t: row.held + i + 1 - placesBefore(row.group) })
        scoredPlaces.push(starts[r]! + i)
      }
    }
  })
  const index = [...places, ...scoredPlaces]
  // no backend need multiply matrices without rows
  return { index: index.length === 0 ? [0] : index, drawn, scored }
}

const NOTHING = { ids: new Int32Array(0), samplingLogProbs: new Float32Array(0), policyLogProbs: new Float32Array(0) }

const sampledRows = (logits: Tensor2D, drawn: ReadonlyArray<SampleRow>) => {
  if (drawn.length === 0) return { ids: tf.keep(tf.tensor1d([], "int32")), read: () => NOTHING }
  const own = drawn.length === logits.shape[0] ? logits : tf.slice(logits, [0, 0], [drawn.length, -1])
  const { ids, policyLogProbs, samplingLogProbs } = sampleTokens(own, samplingRows(drawn))
  const values = readLater([ids, samplingLogProbs, policyLogProbs])
  const read = () => {
    const [tokens, sampling, policy] = values() as [Int32Array, Float32Array, Float32Array]
    return { ids: tokens, samplingLogProbs: sampling, policyLogProbs: policy }
  }
  return { ids: tf.keep(ids), read }
}

/** The logits themselves, of rows and tokens that report more than what was drawn. */
const readLogits = (logits: Tensor2D, { drawn, scored }: Wanted) => {
  const reporting = drawn.flatMap((row, i) => ((row.group.request.topLogProbs ?? 0) > 0 ? [{ row, i }] : []))
  const places = [...reporting.map(({ i }) => i), ...scored.map((_, i) => drawn.length + i)]
  if (places.length === 0) return { drawn, logits: new Map(), scored: [] }
  const values = gatherRows(logits, Int32Array.from(places)).dataSync() as Float32Array
  const vocabulary = logits.shape[1]
  const line = (i: number) => values.subarray(i * vocabulary, (i + 1) * vocabulary)
  return {
    drawn,
    logits: new Map(reporting.map(({ row }, i) => [row, line(i)])),
    scored: scored.map((token, i) => ({ ...token, logits: line(reporting.length + i) }))
  }
}
