import { type JsonSchema, JsonSchema as Json, Result, Schema, SchemaRepresentation } from "effect"
import type { RewardRule } from "./rule.ts"

export interface JsonFormatOptions {
  /** "json" when absent. */
  readonly name?: string
  readonly weight?: number
  /** JSON Schema, draft 2020-12, which the response must satisfy; any JSON does when absent. */
  readonly schema?: JsonSchema.JsonSchema
  /** Whether one fenced code block around it may be; false when absent. */
  readonly fenced?: boolean
}

/**
 * 1 where the response is JSON, and of the schema, else 0.
 *
 * Throws where the schema asks for what cannot be checked; what it says of `not`, `if` and `contains`, for example.
 */
export const jsonFormat = ({
  fenced = false,
  name = "json",
  schema,
  weight = 1
}: JsonFormatOptions = {}): RewardRule => {
  const satisfied = schema === undefined ? () => true : checker(schema)
  return {
    name,
    weight,
    score: ({ text }) => {
      const value = parsed(fenced ? unfenced(text) : text)
      return value !== undefined && satisfied(value.json) ? 1 : 0
    }
  }
}

const checker = (schema: JsonSchema.JsonSchema): ((value: unknown) => boolean) => {
  const document = Json.fromSchemaDraft2020_12(schema)
  const imported = SchemaRepresentation.fromJsonSchemaDocument(document, { patterns: "apply" })
  const decode = Schema.decodeUnknownResult(imported as Schema.Codec<unknown>)
  return (value) => Result.isSuccess(decode(value, { onExcessProperty: "error" }))
}

/** In an object, since null is JSON too. */
const parsed = (text: string): { readonly json: unknown } | undefined => {
  try {
    return { json: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const unfenced = (text: string): string => /^```[a-z]*\s*\n([\s\S]*?)\n?```$/i.exec(text.trim())?.[1] ?? text
