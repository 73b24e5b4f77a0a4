import { type CachedRows, type SteppedModel, copyPages, type DrawnTokens, type KeyValueCache } from "@plumbline/models"
import { type HostNumbers, readLater, sampleTokens, type Tensor1D, type Tensor2D, tf } from "@plumbline/runtime"
import type { TokenLogProb } from "../request.ts"
import { type Draw, knownTokens, placesBefore, type PrefixRow, type Row, tokenAt } from "./group.ts"
import { rankLogits } from "./rank-logits.ts"
import { samplingRows } from "./sampling-rows.ts"
import type { Plan } from "./scheduler.ts"

/** What a step made; host data. */
export interface StepResult {
  /** In the order of the arrays; of a row those after more drafted tokens later. */
  readonly drawn: ReadonlyArray<Draw>
  /** [S] int32; −1 where nothing could be drawn */
  readonly ids: Int32Array
  /** [S] float32, nats */
  readonly samplingLogProbs: Float32Array
  /** [S] float32, nats */
  readonly policyLogProbs: Float32Array
  /** Alternatives of drawn tokens, where they are reported, by their places in the arrays. */
  readonly top: ReadonlyMap<number, ReadonlyArray<TokenLogProb>>
  readonly scored: ReadonlyArray<ScoredToken>
}

/** A token of a prompt. */
export interface PromptToken {
  readonly prefix: PrefixRow
  readonly t: number
}

export interface ScoredToken extends PromptToken {
  /** log π, nats */
  readonly logProb: number
  readonly top: ReadonlyArray<TokenLogProb>
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
  readonly drawn: ReadonlyArray<Draw>
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
  const { copies, drafts, feeds } = plan
  if (copies.length > 0) {
    const [from, to] = [copies.map(([page]) => page), copies.map(([, page]) => page)]
    copyPages(cache, from, to)
  }
  const models = new Set(feeds.map(({ row }) => row.group.model))
  const passes = Array.from(models, (model) => {
    const own = models.size === 1 ? feeds : feeds.filter(({ row }) => row.group.model === model)
    const unread = before?.passes.find((pass) => pass.model === model)
    return launchPass(model, cache, fedRows(own, drafts), unread)
  })
  return { plan, passes }
}

/** A row of the model: tokens that a sequence has and the cache has not, or one that is a draft. */
interface Fed {
  readonly row: Row
  /** Place of the first. */
  readonly from: number
  readonly count: number
  /** Drafted tokens of the sequence up to here. */
  readonly drafted: number
  /** The draft's. */
  readonly token?: number | undefined
}

const fedRows = (feeds: Plan["feeds"], drafts: Plan["drafts"]): ReadonlyArray<Fed> =>
  feeds.flatMap(({ count, row }): ReadonlyArray<Fed> => {
    const behind = row.held + count
    const tried = ((row.kind === "sample" && drafts.get(row)) || NO_DRAFT).map((token, i) => ({
      row,
      from: behind + i,
      count: 1,
      drafted: i + 1,
      token
    }))
    return [{ row, from: row.held, count, drafted: 0 }, ...tried]
  })

const NO_DRAFT: ReadonlyArray<number> = []

const launchPass = (
  model: SteppedModel,
  cache: KeyValueCache,
  fed: ReadonlyArray<Fed>,
  before: Pass | undefined
): Pass => {
  const rows = { ...newTokens(fed), drawn: before && unreadTokens(fed, before) }
  const wanted = wantedLogits(fed, rows)
  let pass: Pass | undefined
  // tidy looks for tensors in all that it is given back, row by row and number by number
  tf.tidy(() => {
    const logits = model.step(rows, cache, Int32Array.from(wanted.index))
    const { drawn } = wanted
    const sampled = drawn.length === 0 ? undefined : sampledRows(logits, drawn)
    const ranked = rankLogits(logits, drawn, wanted.scored)
    const values = readLater([...(sampled?.tensors ?? []), ...(ranked?.tensors ?? [])])
    const version = model.version.current()
    const ids = tf.keep(sampled?.tensors[0] ?? tf.tensor1d([], "int32"))
    const read = (): StepResult => {
      const all = values()
      const own = sampled?.read(all.slice(0, sampled.tensors.length)) ?? NOTHING
      return { drawn, ...own, ...(ranked?.read(all.slice(-ranked.tensors.length)) ?? NOT_RANKED) }
    }
    pass = { model, version, drawn, ids, read }
  })
  return pass!
}

const unreadTokens = (fed: ReadonlyArray<Fed>, { drawn, ids }: Pass): DrawnTokens => {
  const places = new Map<Row, number>(drawn.map(({ row }, i) => [row, i]))
  return { ids, source: Int32Array.from(fed, ({ row }) => places.get(row)!) }
}

interface Wanted {
  /** Flat positions whose logits are wanted: of `drawn` first, of `scored` after them. */
  readonly index: ReadonlyArray<number>
  readonly drawn: ReadonlyArray<Draw>
  readonly scored: ReadonlyArray<PromptToken>
}

const newTokens = (fed: ReadonlyArray<Fed>): CachedRows => {
  const total = fed.reduce((sum, { count }) => sum + count, 0)
  const width = fed.reduce((most, { row }) => Math.max(most, row.pages.length), 1)
  const rows = {
    tokens: new Int32Array(total),
    positions: new Int32Array(total),
    starts: new Int32Array(fed.length),
    lengths: Int32Array.from(fed, ({ count }) => count),
    table: new Int32Array(fed.length * width),
    width,
    held: Int32Array.from(fed, ({ from }) => from)
  }
  let next = 0
  fed.forEach(({ count, from, row, token }, r) => {
    rows.starts[r] = next
    rows.table.set(row.pages, r * width)
    for (let t = from; t < from + count; t++) {
      rows.tokens[next] = token ?? tokenAt(row, t)
      rows.positions[next++] = t
    }
  })
  return rows
}

const wantedLogits = (fed: ReadonlyArray<Fed>, { starts, tokens }: CachedRows): Wanted => {
  const drawn: Array<Draw> = []
  const scored: Array<PromptToken> = []
  const places: Array<number> = []
  const scoredPlaces: Array<number> = []
  fed.forEach(({ count, drafted, from, row, token }, r) => {
    if (row.kind === "sample") {
      if (from + count < knownTokens(row)) return
      drawn.push({ row, drafted, after: token })
      places.push(starts[r]! + count - 1)
    } else if (row.group.scores !== undefined) {
      for (let i = 0; i < count; i++) {
        scored.push({ prefix: row, t: row.held + i + 1 - placesBefore(row.group) })
        scoredPlaces.push(starts[r]! + i)
      }
    }
  })
  const index = [...places, ...scoredPlaces]
  // no backend need multiply matrices without rows, and the last token takes the least of the last block
  return { index: index.length === 0 ? [tokens.length - 1] : index, drawn, scored }
}

const NOTHING = { ids: new Int32Array(0), samplingLogProbs: new Float32Array(0), policyLogProbs: new Float32Array(0) }

const NOT_RANKED: Pick<StepResult, "scored" | "top"> = { top: new Map(), scored: [] }

const sampledRows = (logits: Tensor2D, drawn: ReadonlyArray<Draw>) => {
  const own = drawn.length === logits.shape[0] ? logits : tf.slice(logits, [0, 0], [drawn.length, -1])
  const { ids, policyLogProbs, samplingLogProbs } = sampleTokens(own, samplingRows(drawn))
  return {
    tensors: [ids, samplingLogProbs, policyLogProbs] as const,
    read: (values: ReadonlyArray<HostNumbers>) => {
      const [tokens, sampling, policy] = values as [Int32Array, Float32Array, Float32Array]
      return { ids: tokens, samplingLogProbs: sampling, policyLogProbs: policy }
    }
  }
}
