import { Effect, Result, Schema, SchemaIssue } from "effect"
import { badField, RequestRefused } from "../shell/request-refused.ts"

/** Fields that mean something here but cannot be done, with the reason. */
export type Refusals = Readonly<Record<string, string>>

/**
 * A request body as its schema has it; the first thing wrong is the refusal. Fields that are null count as left out, as
 * in OpenAI's API.
 */
export const decodeRequest = <S extends Schema.Codec<unknown, unknown>>(
  schema: S,
  refusals: Refusals,
  body: unknown
): Effect.Effect<S["Type"], RequestRefused> =>
  Effect.suspend(() => {
    if (typeof body !== "object" || body === null || Array.isArray(body)) {
      return Effect.fail(new RequestRefused({ status: 400, reason: "the body must be a JSON object" }))
    }
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
    const refused = Object.keys(given).find((field) => Object.hasOwn(refusals, field) && asks(given[field]))
    if (refused !== undefined) return Effect.fail(badField(refused, refusals[refused]!, "unsupported_parameter"))
    const read = Object.fromEntries(Object.entries(given).filter(([field]) => !Object.hasOwn(refusals, field)))
    const decoded = Schema.decodeUnknownResult(schema)(read, { onExcessProperty: "error" })
    return Result.isSuccess(decoded) ? Effect.succeed(decoded.success) : Effect.fail(refusalOf(decoded.failure))
  })

/** An empty text or list asks for nothing. */
export const asks = (value: unknown): boolean => value !== "" && !(Array.isArray(value) && value.length === 0)

const format = SchemaIssue.makeFormatterStandardSchemaV1()

const refusalOf = ({ issue }: Schema.SchemaError): RequestRefused => {
  const [first] = format(issue).issues
  const param = pathText(first?.path ?? [])
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
