import { kebabCase } from "@plumbline/data"
import { Schema } from "effect"

/** What a flag's text is read as; `json` covers objects and unions, which are written as JSON. */
export type FlagKind = "string" | "number" | "boolean" | "json"

/** A field of an option schema as the command line shows it. */
export interface Flag {
  /** Key in the schema and in configuration files, camelCase. */
  readonly field: string
  /** kebab-case, without dashes. */
  readonly name: string
  readonly kind: FlagKind
  /** Several values, separated by commas. */
  readonly list: boolean
  readonly choices: ReadonlyArray<string>
  readonly description: string
  readonly defaultValue: unknown
  readonly required: boolean
}

export type OptionSchema = Schema.Struct<Schema.Struct.Fields>

interface JsonSchemaNode {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<JsonSchemaNode>
  readonly items?: JsonSchemaNode
  readonly properties?: Readonly<Record<string, JsonSchemaNode>>
  readonly required?: ReadonlyArray<string>
  readonly description?: string
  readonly default?: unknown
}

/** The flags of an option schema, in its order. */
export const flagsOf = (schema: Schema.Top): ReadonlyArray<Flag> => {
  const document = Schema.toJsonSchemaDocument(schema)
  const definitions = document.definitions as Readonly<Record<string, JsonSchemaNode>>
  const resolve = (node: JsonSchemaNode): JsonSchemaNode => {
    const name = node.$ref?.split("/").at(-1)
    const target = name === undefined ? undefined : definitions[name]
    return target === undefined ? node : { ...resolve(target), ...node }
  }
  const { properties = {}, required = [] } = resolve(document.schema as JsonSchemaNode)
  return Object.entries(properties).map(([field, property]) => {
    const node = resolve(property)
    const list = node.type === "array" && node.items !== undefined
    const element = list ? resolve(node.items!) : node
    return {
      field,
      name: kebabCase(field),
      kind: kindOf(element),
      list,
      choices: choicesOf(element),
      description: node.description ?? "",
      defaultValue: node.default,
      required: required.includes(field)
    }
  })
}

/** Where nothing else may stand. */
const choicesOf = ({ anyOf, enum: own }: JsonSchemaNode): ReadonlyArray<string> => {
  if (own !== undefined) return own.map(String)
  const each = (anyOf ?? []).map(choicesOf)
  return each.some((choices) => choices.length === 0) ? [] : each.flat()
}

const kindOf = ({ type }: JsonSchemaNode): FlagKind => {
  if (type === "integer" || type === "number") return "number"
  return type === "string" || type === "boolean" ? type : "json"
}

/** A value as the user would write it after the flag. */
export const flagText = (value: unknown): string => {
  if (Array.isArray(value)) return value.map(flagText).join(",")
  if (typeof value === "number" && value !== 0 && Math.abs(value) < 1e-3) return value.toExponential()
  return typeof value === "object" ? JSON.stringify(value) : String(value)
}
