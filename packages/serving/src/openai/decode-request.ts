import { Effect, Result, Schema, SchemaIssue } from "effect"
import { badField, RequestRefused } from "../shell/request-refused.ts"

/** Fields that mean something here but cannot be done, with the reason. */
export type Refusals = Readonly<Record<string, string>>

/**
 * A request body, or an object within one, as its schema has it; the first thing wrong is the refusal. Fields that are null
 * count as left out, as in OpenAI's API.
 *
 * @param place of the object in the body; the body itself when absent
 */
export const decodeRequest = <Fields extends Schema.Struct.Fields>(
  schema: Schema.Struct<Fields> & Schema.ConstraintDecoder<unknown>,
  refusals: Refusals,
  body: unknown,
  place?: string
): Effect.Effect<Schema.Struct<Fields>["Type"], RequestRefused> =>
  Effect.suspend(() => {
    const paramOf = (field: string) => (place === undefined ? field : `${place}.${field}`)
    if (!isObject(body)) {
      return Effect.fail(
        place === undefined
          ? new RequestRefused({ status: 400, reason: "the body must be a JSON object" })
          : badField(place, "must be an object")
      )
    }
    const isGiven = (field: string) => Object.hasOwn(body, field) && body[field] !== null
    const refused = Object.keys(refusals).find((field) => isGiven(field) && asks(body[field]))
    if (refused !== undefined) {
      return Effect.fail(badField(paramOf(refused), refusals[refused]!, "unsupported_parameter"))
    }
    // one by one, up to the first: there may be hundreds of thousands
    for (const field in body) {
      if (Object.hasOwn(schema.fields, field) || Object.hasOwn(refusals, field) || !isGiven(field)) continue
      const param = paramOf(field.slice(0, MOST_OF_A_NAME))
      return Effect.fail(badField(param, "there is no such field", "unknown_parameter"))
    }
    const read = Object.fromEntries(
      Object.keys(schema.fields).flatMap((field) => (isGiven(field) ? [[field, body[field]]] : []))
    )
    const decoded = Schema.decodeUnknownResult(schema)(read, { onExcessProperty: "error" })
    return Result.isSuccess(decoded)
      ? Effect.succeed(decoded.success)
      : Effect.fail(refusalOf(decoded.failure, paramOf))
  })

/** Characters of a name that nobody here knows. */
const MOST_OF_A_NAME = 200

/** What JSON calls an object, whatever it holds: a schema for one would read every key. */
export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An empty text or list asks for nothing. */
export const asks = (value: unknown): boolean => value !== "" && !(Array.isArray(value) && value.length === 0)

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const refusalOf = ({ issue }: Schema.SchemaError, paramOf: (field: string) => string): RequestRefused => {
  const [first] = format(issue).issues
  const param = paramOf(pathText(first?.path ?? []))
  const message = first?.message ?? "not understood"
  if (message.includes("no excess property")) return badField(param, "there is no such field", "unknown_parameter")
  return badField(param, message.charAt(0).toLowerCase() + message.slice(1))
}

type Path = NonNullable<ReturnType<typeof format>["issues"][number]["path"]>

/** `messages[0].content` */
const pathText = (path: Path): string =>
  path
    .map((step) => (typeof step === "object" ? step.key : step))
    .map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`))
    .join("")
