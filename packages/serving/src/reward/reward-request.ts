import type { JudgedRecord } from "@plumbline/data"
import { type AttributeWeights, unfitWeights, unreadable, weightsInOrder } from "@plumbline/reward-model"
import { Effect, Schema } from "effect"
import { decodeRequest, isObject } from "../openai/decode-request.ts"
import { badMessages, readMessages } from "../openai/messages.ts"
import { modelNamed } from "../openai/served-model.ts"
import { badField, type RequestRefused } from "../shell/request-refused.ts"
import type { ServedReward } from "./served-reward.ts"

const optional = Schema.optionalKey

/** A row to be scored: token ids, a prompt (or its messages) and a response, a chat, or a text. */
const Row = Schema.Struct({
  id: optional(Schema.String),
  input_ids: optional(Schema.Unknown),
  prompt: optional(Schema.String),
  response: optional(Schema.String),
  messages: optional(Schema.Unknown),
  text: optional(Schema.String),
  answer: optional(Schema.Unknown),
  fields: optional(Schema.Unknown)
})

/** What may be long is read in loops of its own. */
const RewardRequest = Schema.Struct({
  model: optional(Schema.String),
  rows: optional(Schema.Unknown),
  input: optional(Schema.Unknown),
  messages: optional(Schema.Unknown),
  attribute_weights: optional(Schema.Unknown)
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
    const rows = yield* rowsOf(request, maxRows)
    if (rows.length === 0) return yield* badField(given[0]!, "is an empty list")
    return { rows: yield* Effect.forEach(rows, (row) => readRow(served, row)), weights }
  })

/** A row as it came, and the field by which a refusal names it. */
interface PlacedRow {
  readonly place: string
  readonly row: unknown
}

const INPUT = "must be a text, a list of texts, a list of token ids, or a list of lists of token ids"

const rowsOf = (
  { input, messages, rows }: typeof RewardRequest.Type,
  most: number
): Effect.Effect<ReadonlyArray<PlacedRow>, RequestRefused> => {
  if (messages !== undefined) return Effect.succeed([{ place: "messages", row: { messages } }])
  const given = rows ?? (typeof input === "string" || (Array.isArray(input) && isIds(input)) ? [input] : input)
  if (!Array.isArray(given)) {
    return Effect.fail(rows === undefined ? badField("input", INPUT) : badField("rows", "must be a list of rows"))
  }
  if (given.length > most) {
    return Effect.fail(badField("rows", `there are ${given.length} of them; at most ${most} are taken at once`))
  }
  if (rows !== undefined) {
    return Effect.succeed(given.map((row: unknown, i): PlacedRow => ({ place: `rows[${i}]`, row })))
  }
  const isTexts = given.every((one) => typeof one === "string")
  if (!isTexts && !given.every((one) => Array.isArray(one))) return Effect.fail(badField("input", INPUT))
  return Effect.succeed(
    given.map((one: unknown, i): PlacedRow => ({
      place: given.length === 1 ? "input" : `input[${i}]`,
      row: isTexts ? { text: one } : { input_ids: one }
    }))
  )
}

/** Whether it is the ids of one row, and no list of rows. */
const isIds = (input: ReadonlyArray<unknown>): boolean => typeof input[0] === "number"

const readRow = (
  { model, tokenizerThread }: ServedReward,
  placed: PlacedRow
): Effect.Effect<AskedRow, RequestRefused> =>
  Effect.gen(function* () {
    const { place } = placed
    const row = yield* decodeRequest(Row, {}, placed.row, place)
    const record = yield* recordOf(place, row)
    const ids = yield* tokenizerThread.judged(record).pipe(Effect.mapError((error) => badMessages(place, error)))
    const reason = unreadable(model, ids)
    if (reason !== undefined) return yield* badField(place, reason, "context_length_exceeded")
    return { id: row.id, ids }
  })

const recordOf = (place: string, row: typeof Row.Type): Effect.Effect<JudgedRecord, RequestRefused> =>
  Effect.gen(function* () {
    if (row.input_ids !== undefined) return { kind: "ids", ids: yield* idsOf(place, row.input_ids) }
    const messages = row.messages === undefined ? undefined : yield* readMessages(row.messages, false)
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

const idsOf = (place: string, given: unknown): Effect.Effect<Int32Array, RequestRefused> => {
  if (!Array.isArray(given)) return Effect.fail(badField(`${place}.input_ids`, "must be a list of token ids"))
  const wrong = given.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31)
  if (wrong < 0) return Effect.succeed(Int32Array.from(given as ReadonlyArray<number>))
  return Effect.fail(badField(place, `has no token id at place ${wrong}`))
}

const WEIGHTS = "attribute_weights"
/** Attributes that a refusal names. */
const NAMED = 3

const weightsOf = ({ model: { head }, weights }: ServedReward, asked: unknown) => {
  if (asked === undefined) return Effect.succeed(weightsInOrder(head, weights))
  if (!isObject(asked)) return Effect.fail(badField(WEIGHTS, "must be an object, weights by attribute"))
  if (Object.keys(asked).length === 0) return Effect.fail(badField(WEIGHTS, "names no attribute"))
  const unknown = Object.keys(asked).filter((name) => !head.attributes.includes(name))
  if (unknown.length > 0) {
    const some = Object.fromEntries(unknown.slice(0, NAMED).map((name) => [name.slice(0, 200), 1]))
    return Effect.fail(badField(WEIGHTS, unfitWeights(head, some)!.message))
  }
  const wrong = Object.keys(asked).find((name) => typeof asked[name] !== "number" || !Number.isFinite(asked[name]))
  if (wrong !== undefined) return Effect.fail(badField(`${WEIGHTS}.${wrong}`, "must be a number"))
  return Effect.succeed(weightsInOrder(head, asked as AttributeWeights))
}
