import type { RawRow } from "../files/read-rows.ts"
import { decodeRow, type Form, originOf } from "../records/forms.ts"
import type { Message, Origin } from "../records/records.ts"

/** What a published data set can become: rows to imitate, rows with attributes as numbers, or pairs. */
export type ConversionTarget = "demonstrations" | "attributes" | "preferences"

/** A row that the loaders of this package read; numbers at its top are attributes. */
export type ConvertedRow = Readonly<
  Record<string, string | number | Message | ReadonlyArray<Message> | ReadonlyArray<string>>
>

/** A row, or rows, of which nothing was made, and why. */
export interface LeftOut {
  readonly origin: Origin
  readonly reason: string
}

export interface Converted {
  readonly rows: ReadonlyArray<ConvertedRow>
  readonly leftOut: ReadonlyArray<LeftOut>
}

/**
 * The rows of a published file as rows that are trained on.
 *
 * @throws MalformedRecord where a row has not the published form
 */
export type Conversion = (rows: ReadonlyArray<RawRow>) => Converted

/** A published data set: how its files become training data. The first target is the usual one. */
export interface Converter {
  readonly name: string
  /** Whose files it reads. */
  readonly summary: string
  readonly makes: Readonly<Partial<Record<ConversionTarget, Conversion>>>
}

/** What one row becomes: rows, or the reason why none. */
export type Made = ReadonlyArray<ConvertedRow> | string

/** A conversion that looks at one row at a time; it has one of these forms. */
export const rowByRow =
  (...forms: ReadonlyArray<Form<Made>>): Conversion =>
  (rows) =>
    gathered(rows.map((row) => ({ origin: originOf(row), made: decodeRow(forms, row) })))

/** What was made, in order, and what was not. */
export const gathered = (all: ReadonlyArray<{ readonly origin: Origin; readonly made: Made }>): Converted => ({
  rows: all.flatMap(({ made }) => (typeof made === "string" ? [] : made)),
  leftOut: all.flatMap(({ made, origin }) => (typeof made === "string" ? [{ origin, reason: made }] : []))
})

export const user = (content: string): Message => ({ role: "user", content })
export const assistant = (content: string): Message => ({ role: "assistant", content })
