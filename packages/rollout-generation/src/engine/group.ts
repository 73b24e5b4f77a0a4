import type { SteppedModel } from "@plumbline/models"
import type { RandomStream } from "@plumbline/runtime"
import type {
  GeneratedGroup,
  GeneratedResponse,
  GenerationEvent,
  GenerationRequest,
  PromptScores,
  StopMatch,
  TokenLogProb
} from "../request.ts"
import type { RowDrafts } from "./row-drafts.ts"
import type { TokenRules } from "./token-rules.ts"

/** Who is told what becomes of a group. Called in the middle of a step: it must be quick and must not throw. */
export interface GroupListener {
  readonly onEvent?: (event: GenerationEvent) => void
  readonly onDone: (group: GeneratedGroup) => void
  readonly onFailed: (reason: string) => void
}

/** Requests that have one turn among those of others. */
export interface Caller {
  /** By age. */
  readonly groups: Array<Group>
  /** Number, among arrivals of requests and starts of rows, of its last start, or of its arrival before any. */
  lastTurn: number
}

/** A request that the engine works on. */
export interface Group {
  readonly request: GenerationRequest
  /** Which of the engine's models writes the responses. */
  readonly model: SteppedModel
  readonly listener: GroupListener
  readonly caller: Caller
  /** Number of the group in the order of arrival; the older one goes first. */
  readonly age: number
  /** Tokens of each response at most, by the request and the context. */
  readonly room: number
  /** The only token ids that may be drawn, each once; all where undefined. */
  readonly allowed: Int32Array | undefined
  readonly rows: ReadonlyArray<SampleRow>
  /** All of the prompt but its last token, for rows to start from; undefined where rows had better start alone. */
  prefix: PrefixRow | undefined
  scores: Scores | undefined
  /** Tokens of the prompt that kept pages had when it was begun; undefined before, and where none are kept. */
  cachedTokens: number | undefined
  readonly finished: Array<GeneratedResponse>
  gone: boolean
}

/** Something whose tokens are in the cache, or will be. */
interface Sequence {
  readonly group: Group
  /** Places whose keys and values its pages hold: those before its tokens, and tokens. */
  held: number
  /** In the order of its tokens. */
  pages: Array<number>
}

export interface PrefixRow extends Sequence {
  readonly kind: "prefix"
  /** One that is filling and does not run was halted. */
  state: "filling" | "ready"
}

/** A response that is being written. Each step feeds its newest token and draws the next. */
export interface SampleRow extends Sequence {
  readonly kind: "sample"
  readonly sample: number
  readonly stream: RandomStream
  readonly rules: TokenRules
  readonly drafts: RowDrafts
  /** One that waits and has pages was halted. */
  state: "waiting" | "running" | "done"
  readonly ids: Array<number>
  /** Tokens after those that the device has drawn, or will have, and the host has not read: 0 or 1. */
  ahead: number
  readonly samplingLogProbs: Array<number>
  readonly policyLogProbs: Array<number>
  readonly policyVersions: Array<number>
  readonly topLogProbs: Array<ReadonlyArray<TokenLogProb>>
}

export type Row = PrefixRow | SampleRow

/** A token to draw for a row. */
export interface Draw {
  readonly row: SampleRow
  /** Drafted tokens before it. */
  readonly drafted: number
  /** The last of them. */
  readonly after?: number | undefined
}

/** Prompt scores while they are being made; `known` tokens have one. */
interface Scores extends PromptScores {
  readonly topLogProbs: Array<ReadonlyArray<TokenLogProb>>
  known: number
}

/** Counts the tokens that rows are sure to get as drawn and not read, or no longer so. */
export const countAhead = (drawn: ReadonlyArray<Draw>, by: 1 | -1): void => {
  for (const { drafted, row } of drawn) if (drafted === 0) row.ahead += by
}

/** Places before the first token of every row of the group. */
export const placesBefore = ({ model }: Group): number => model.prefix?.length ?? 0

/** Places that a row is to have in the cache before the next token can be drawn, or before others may start from it. */
export const knownTokens = (row: Row): number => {
  const length = placesBefore(row.group) + row.group.request.promptIds.length
  return row.kind === "prefix" ? length - 1 : length + drawnTokens(row)
}

/** Tokens of the response so far, read or not. */
export const drawnTokens = ({ ahead, ids }: SampleRow): number => ids.length + ahead

/** Whether no token is to be drawn after those that have been; where the newest is not read, its row has not ended yet. */
export const isFull = (row: SampleRow): boolean => drawnTokens(row) >= row.group.room

/** @returns the token at a place of the row, 0 where only the device knows it */
export const tokenAt = (row: Row, place: number): number => {
  const { promptIds } = row.group.request
  const t = place - placesBefore(row.group)
  return t < promptIds.length ? promptIds[t]! : ((row as SampleRow).ids[t - promptIds.length] ?? 0)
}

const isPending = ({ state }: SampleRow): boolean => state === "waiting"

export const pendingRows = (group: Group): ReadonlyArray<SampleRow> => group.rows.filter(isPending)

export const hasPendingRows = (group: Group): boolean => group.rows.some(isPending)

/** Ends a response and tells who listens. */
export const finishRow = (row: SampleRow, stop: StopMatch | undefined): void => {
  const { group } = row
  row.state = "done"
  const response: GeneratedResponse = {
    sample: row.sample,
    responseIds: new Int32Array(row.ids),
    samplingLogProbs: new Float32Array(row.samplingLogProbs),
    policyLogProbs: new Float32Array(row.policyLogProbs),
    policyVersions: new Int32Array(row.policyVersions),
    finishReason: stop === undefined ? "length" : "stop",
    stop,
    topLogProbs: (group.request.topLogProbs ?? 0) > 0 ? row.topLogProbs : undefined
  }
  group.finished.push(response)
  group.listener.onEvent?.({ _tag: "Finished", response, cachedTokens: group.cachedTokens })
}

/** Whether the scores of the prompt, where they were asked for, are all there. */
export const isScored = ({ request, scores }: Group): boolean =>
  scores === undefined || scores.known >= request.promptIds.length

/** Tells who listens that the scores of the prompt are all there, where they were asked for. */
export const tellScores = ({ listener, scores }: Group): void => {
  if (scores !== undefined) listener.onEvent?.({ _tag: "Prompt", prompt: madeScores(scores) })
}

export const isWhole = (group: Group): boolean => group.finished.length === group.rows.length && isScored(group)

/** The whole group, responses by sample. */
export const wholeGroup = ({ cachedTokens, finished, request, scores }: Group): GeneratedGroup => ({
  promptIds: request.promptIds,
  responses: finished.toSorted((a, b) => a.sample - b.sample),
  prompt: scores && madeScores(scores),
  cachedTokens
})

const madeScores = ({ logProbs, topLogProbs }: Scores): PromptScores => ({ logProbs, topLogProbs })
