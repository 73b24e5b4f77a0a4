import { Result, Schema, SchemaIssue } from "effect"
import { EmptyCompletion, MalformedRecord } from "../errors.ts"
import type { RawRow } from "../files/read-rows.ts"
import { isEmpty } from "./fields.ts"
import type { Conversation, Origin } from "./records.ts"

/** One accepted combination of field names: its schema, and the records a row of that form becomes. */
export interface Form<Records> {
  /** Fields whose presence tells the form. */
  readonly required: ReadonlyArray<string>
  /** Fields that it reads where they are there. */
  readonly optional: ReadonlyArray<string>
  readonly decode: (row: RawRow) => Records
}

type Fields = Readonly<Record<string, Schema.Codec<unknown, unknown>>>
type Values<F extends Fields> = { readonly [K in keyof F]: F[K]["Type"] }

/**
 * A form whose `required` fields must be there and whose `optional` fields may be.
 * Every other field of a row is ignored; null counts as absent.
 */
export const form = <Required extends Fields, Optional extends Fields, Records>(
  required: Required,
  optional: Optional,
  build: (values: Values<Required> & Partial<Values<Optional>>, row: RawRow) => Records
): Form<Records> => {
  const names = Object.keys(required)
  const optionalNames = Object.keys(optional)
  const schema = Schema.Struct({
    ...required,
    ...Object.fromEntries(optionalNames.map((name) => [name, Schema.optionalKey(optional[name]!)]))
  })
  const decode = Schema.decodeUnknownResult(schema)
  return {
    required: names,
    optional: optionalNames,
    decode: (row) => {
      const present = [...names, ...optionalNames].filter((name) => isPresent(row, name))
      const decoded = decode(Object.fromEntries(present.map((name) => [name, row.value[name]])))
      if (Result.isFailure(decoded)) throw malformed(row, decoded.failure.issue)
      return build(decoded.success as never, row)
    }
  }
}

/**
 * The records of a row by the first form whose required fields it has.
 *
 * @throws MalformedRecord naming the missing field of the nearest form
 */
export const decodeRow = <Records>(forms: ReadonlyArray<Form<Records>>, row: RawRow): Records => {
  const match = forms.find((candidate) => candidate.required.every((name) => isPresent(row, name)))
  if (match !== undefined) return match.decode(row)
  const accepted = forms.map((candidate) => candidate.required.join(" + ")).join(", ")
  const [field] = missingFields(forms, row)
  throw new MalformedRecord({ ...originOf(row), field: field ?? "", reason: `missing; a row needs ${accepted}` })
}

/** What the nearest form lacks: of those that know a field of the row, the one that lacks least, and of such the longest. */
const missingFields = <Records>(forms: ReadonlyArray<Form<Records>>, row: RawRow): ReadonlyArray<string> => {
  const [nearest] = forms
    .filter(({ optional, required }) => [...required, ...optional].some((name) => isPresent(row, name)))
    .map(({ required }) => ({ required, missing: required.filter((name) => !isPresent(row, name)) }))
    .toSorted((a, b) => a.missing.length - b.missing.length || b.required.length - a.required.length)
  return nearest?.missing ?? []
}

export const originOf = ({ file, line }: RawRow): Origin => ({ file, line })

/** @throws EmptyCompletion */
export const notEmpty = <C extends Conversation>(row: RawRow, field: string, conversation: C): C => {
  if (isEmpty(conversation)) throw new EmptyCompletion({ ...originOf(row), field })
  return conversation
}

const isPresent = (row: RawRow, name: string): boolean => row.value[name] !== undefined && row.value[name] !== null

const describe = SchemaIssue.makeFormatterStandardSchemaV1()

const malformed = (row: RawRow, issue: SchemaIssue.Issue): MalformedRecord => {
  const [first] = describe(issue).issues
  const field = (first?.path ?? []).map(String).join(".")
  return new MalformedRecord({ ...originOf(row), field, reason: first?.message ?? "malformed" })
}
