import {
  attempt,
  collate,
  type Conversation,
  decodeRow,
  fitToLength,
  form,
  type LengthLimit,
  MalformedRecord,
  originOf,
  type RawRow,
  readRows,
  RowTooLong,
  NoRowsLeft,
  type ScoredRows,
  type TokenizedRow,
  tokenizeCompletion,
  type TokenizerShape,
  toMessages
} from "@plumbline/data"
import type { Dataset, DataUnit, MicroBatch } from "@plumbline/training"
import { Context, Effect, Layer, Schema } from "effect"
import { dataFromFiles, type DataFileOptions, type DataKind } from "../data-file.ts"
import { labelled } from "./attribute-label.ts"

/** A prompt with responses that were sampled for it, and how each is to be weighed. */
export interface WeightedGroup {
  readonly responses: ReadonlyArray<TokenizedRow>
  /** w: softmax over the responses of log P(a|x,y) + log P(y|x) − log Q′(y|a,x); adds up to 1 */
  readonly weights: Float32Array
  /** log Q′(y|a,x), nats: of the policy that sampled them */
  readonly samplingLogProbs: Float32Array
}

const Turn = Schema.Struct({ from: Schema.String, value: Schema.String })
const Response = Schema.Struct({
  from: Schema.String,
  value: Schema.String,
  "log(P(a|x,y))": Schema.Finite,
  "log(P(y|x))": Schema.Finite,
  "log(Q(y|a,x))": Schema.Finite
})

/** A prompt, its label, and its responses. */
interface SampledGroup {
  readonly prompt: Conversation
  readonly label: string | undefined
  readonly responses: ReadonlyArray<typeof Response.Type>
}

const chatForm = form(
  { prompt_turns: Schema.Array(Turn), responses: Schema.Array(Response) },
  { system: Schema.String, label: Schema.String },
  ({ label, prompt_turns, responses, system }): SampledGroup => ({
    prompt: [
      ...(typeof system === "string" && system !== "" ? [{ role: "system", content: system }] : []),
      ...toMessages(prompt_turns)
    ],
    label: label as string | undefined,
    responses
  })
)

const textForm = form(
  { prompt: Schema.String, responses: Schema.Array(Response) },
  { label: Schema.String },
  ({ label, prompt, responses }): SampledGroup => ({ prompt, label: label as string | undefined, responses })
)

/** Rows of NeMo-Aligner's SteerLM 2.0: prompt_turns or the text of a prompt, label, and responses with their three log-probs. */
export const weightedFiles: DataKind<WeightedGroup> = {
  rows: ({ responses }) => responses,
  read: Effect.fnUntraced(function* (tokenizer, file, limit) {
    const rows = yield* readRows(file)
    const groups = yield* attempt(() =>
      sameSize(
        rows,
        rows.map((row) => group(tokenizer, row, limit))
      )
    )
    const kept = [...groups.keys()].filter((i) => groups[i] !== undefined)
    const dropped = rows.length - kept.length
    if (kept.length === 0) return yield* new NoRowsLeft({ file, dropped, maxLength: limit.maxLength })
    return {
      dataset: {
        rows: kept.map((i) => groups[i]!),
        records: Int32Array.from(kept),
        truncated: 0,
        dropped,
        supervisesStop: true
      },
      total: rows.length,
      lines: kept.map((i) => rows[i]!.line)
    }
  })
}

/** Nothing where a response does not fit: a group without one of its responses would be weighed wrongly. */
const group = (tokenizer: TokenizerShape, row: RawRow, limit: LengthLimit): WeightedGroup | undefined => {
  const { label, prompt, responses } = decodeRow([chatForm, textForm], row)
  if (responses.length < 2) throw malformed(row, "a prompt needs two responses or more")
  const ids = label === undefined ? undefined : tokenizer.encode(`${label}\n`, { addSpecialTokens: false })
  const rows = responses.map(({ value }) => {
    const plain = tokenizeCompletion(tokenizer, prompt, asAnswer(prompt, value))
    return ids === undefined ? plain : labelled(plain, ids)
  })
  const long = rows.find((one) => fitToLength(one, limit.maxLength, "drop").outcome === "dropped")
  if (long !== undefined && limit.policy === "error") {
    throw new RowTooLong({ ...originOf(row), tokens: long.ids.length, maxLength: limit.maxLength })
  }
  if (long !== undefined) return undefined
  const sampling = responses.map((one) => one["log(Q(y|a,x))"])
  return {
    responses: rows,
    weights: softmax(responses.map((one, i) => one["log(P(a|x,y))"] + one["log(P(y|x))"] - sampling[i]!)),
    samplingLogProbs: Float32Array.from(sampling)
  }
}

const asAnswer = (prompt: Conversation, value: string): Conversation =>
  typeof prompt === "string" ? value : [{ role: "assistant", content: value }]

const sameSize = (rows: ReadonlyArray<RawRow>, groups: ReadonlyArray<WeightedGroup | undefined>) => {
  const size = groups.find((one) => one !== undefined)?.responses.length
  const odd = groups.findIndex((one) => one !== undefined && one.responses.length !== size)
  if (odd < 0) return groups
  throw malformed(rows[odd]!, `has ${groups[odd]!.responses.length} responses, other prompts have ${size}`)
}

const malformed = (row: RawRow, reason: string) => new MalformedRecord({ ...originOf(row), field: "responses", reason })

/** In float64. */
const softmax = (values: ReadonlyArray<number>): Float32Array => {
  const top = Math.max(...values)
  const shares = values.map((value) => Math.exp(value - top))
  const total = shares.reduce((sum, share) => sum + share, 0)
  return Float32Array.from(shares, (share) => share / total)
}

export interface WeightedUnit extends DataUnit {
  readonly row: WeightedGroup
}

/** What SteerLM 2.0 learns from. */
export class WeightedResponses extends Context.Service<WeightedResponses, Dataset<WeightedUnit>>()(
  "@plumbline/algorithms/WeightedResponses"
) {
  static readonly layerFiles = (options: DataFileOptions) =>
    Layer.effect(WeightedResponses, dataFromFiles(weightedFiles, options))
}

/** G prompts of n responses as G·n rows, those of a prompt together. */
export interface WeightedBatch extends MicroBatch {
  readonly rows: ScoredRows
  /** n */
  readonly responses: number
  /** [G·n] */
  readonly weights: Float32Array
  /** [G·n] */
  readonly samplingLogProbs: Float32Array
}

export const weightedBatch = (
  data: Pick<Dataset<WeightedUnit>, "layout" | "padId">,
  units: ReadonlyArray<WeightedUnit>
): WeightedBatch => ({
  rows: collate(
    units.flatMap(({ row }) => row.responses),
    data
  ),
  responses: units[0]!.row.responses.length,
  weights: Float32Array.from(units.flatMap(({ row }) => [...row.weights])),
  samplingLogProbs: Float32Array.from(units.flatMap(({ row }) => [...row.samplingLogProbs])),
  tokens: units.reduce((total, { tokens }) => total + tokens, 0),
  origins: units.map(({ origin }) => origin)
})
