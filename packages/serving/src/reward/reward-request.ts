import type { JudgedRecord } from "@plumbline/data"
import { type AttributeWeights, unfitWeights, unreadable, weightsInOrder } from "@plumbline/reward-model"
import { Effect, Schema } from "effect"
import { decodeRequest } from "../openai/decode-request.ts"
import { badMessages, readMessages } from "../openai/messages.ts"
import { modelNamed } from "../openai/served-model.ts"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import type { ServedReward } from "./served-reward.ts"

const optional = Schema.optionalKey
const TokenIds = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 ** 31 - 1 })))

/** A row to be scored: token ids, a prompt (or its messages) and a response, a chat, or a text. */
const Row = Schema.Struct({
  id: optional(Schema.String),
  input_ids: optional(TokenIds),
  prompt: optional(Schema.String),
  response: optional(Schema.String),
  messages: optional(Schema.Unknown),
  text: optional(Schema.String),
  answer: optional(Schema.Unknown),
  fields: optional(Schema.Unknown)
})

const RewardRequest = Schema.Struct({
  model: optional(Schema.String),
  rows: optional(Schema.Array(Row)),
  input: optional(Schema.Union([Schema.String, TokenIds, Schema.Array(Schema.String), Schema.Array(TokenIds)])),
  messages: optional(Schema.Unknown),
  attribute_weights: optional(Schema.Record(Schema.String, Schema.Finite))
})

export interface AskedRow {
  readonly id: string | undefined
  /** [T] int32, 1 ≤ T */
  readonly ids: Int32Array
}

export interface AskedRewards {
  readonly rows: ReadonlyArray<AskedRow>
  /** [K] */
  readonly weights: ReadonlyArray<number>
}

/** Reads a body of `/v1/rewards` or `/v1/values`. @param maxRows most that it may have */
export const rewardRequest = (
  served: ServedReward,
  body: unknown,
  maxRows: number
): Effect.Effect<AskedRewards, RequestRefused> =>
  Effect.gen(function* () {
    const request = yield* decodeRequest(RewardRequest, {}, body)
    yield* modelNamed([served], request.model)
    const weights = yield* weightsOf(served, request.attribute_weights)
    const given = ["rows", "input", "messages"].filter((field) => field in request)
    if (given.length !== 1)
      return yield* badField("rows", "give one of rows, input and messages", "missing_required_parameter")
    const rows = yield* rowsOf(request)
    if (rows.length > maxRows) {
      return yield* badField("rows", `there are ${rows.length} of them; at most ${maxRows} are taken at once`)
    }
    if (rows.length === 0) return yield* badField(given[0]!, "is an empty list")
    return { rows: yield* Effect.forEach(rows, (row) => readRow(served, row)), weights }
  })

/** A row, and the field by which a refusal names it. */
interface PlacedRow {
  readonly place: string
  readonly row: typeof Row.Type
}

const rowsOf = ({ input, messages, rows }: typeof RewardRequest.Type): Effect.Effect<ReadonlyArray<PlacedRow>> => {
  if (rows !== undefined) return Effect.succeed(rows.map((row, i) => ({ place: `rows[${i}]`, row })))
  if (messages !== undefined) return Effect.succeed([{ place: "messages", row: { messages } }])
  const several: ReadonlyArray<unknown> = typeof input === "string" || typeof input?.[0] === "number" ? [input] : input!
  return Effect.succeed(
    several.map((one, i) => ({
      place: several.length === 1 ? "input" : `input[${i}]`,
      row: typeof one === "string" ? { text: one } : { input_ids: one as ReadonlyArray<number> }
    }))
  )
}

const readRow = (
  { model, tokenizerThread }: ServedReward,
  { place, row }: PlacedRow
): Effect.Effect<AskedRow, RequestRefused> =>
  Effect.gen(function* () {
    const record = yield* recordOf(place, row)
    const ids = yield* tokenizerThread.judged(record).pipe(Effect.mapError((error) => badMessages(place, error)))
    const reason = unreadable(model, ids)
    if (reason !== undefined) return yield* badField(place, reason, "context_length_exceeded")
    return { id: row.id, ids }
  })

const recordOf = (place: string, row: typeof Row.Type): Effect.Effect<JudgedRecord, RequestRefused> =>
  Effect.gen(function* () {
    if (row.input_ids !== undefined) return { kind: "ids", ids: Int32Array.from(row.input_ids) }
    const messages = row.messages === undefined ? undefined : yield* readMessages(row.messages)
    if (row.response !== undefined) {
      const prompt = messages ?? row.prompt
      if (prompt === undefined) return yield* badField(place, "has a response, and neither prompt nor messages")
      const completion = messages === undefined ? row.response : [{ role: "assistant", content: row.response }]
      return { kind: "completion", prompt, completion }
    }
    if (messages !== undefined) return { kind: "chat", messages }
    const text = row.text ?? row.prompt
    return text === undefined
      ? yield* badField(place, "needs input_ids, prompt + response, messages or text")
      : { kind: "text", text }
  })

const weightsOf = (served: ServedReward, asked: AttributeWeights | undefined) => {
  const unfit = unfitWeights(served.model.head, asked ?? served.weights)
  return unfit === undefined
    ? Effect.succeed(weightsInOrder(served.model.head, asked ?? served.weights))
    : Effect.fail(badField("attribute_weights", unfit.message))
}
