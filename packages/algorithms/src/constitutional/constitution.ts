import { attempt, decodeRow, form, readRows } from "@plumbline/data"
import { philoxStream } from "@plumbline/runtime"
import { Effect, Schema } from "effect"

/** What responses are to be like, as it is said to the model. */
export interface Principle {
  /** Asks what in a response goes against the principle. */
  readonly critique: string
  /** Asks for a response without it. */
  readonly revision: string
}

const principleForm = form(
  { critique: Schema.NonEmptyString, revision: Schema.NonEmptyString },
  {},
  ({ critique, revision }): Principle => ({ critique, revision })
)

const preferenceForm = form({ principle: Schema.NonEmptyString }, {}, ({ principle }): string => principle)

/** Principles to revise by: rows with `critique` and `revision`, both requests to the model. */
export const loadPrinciples = Effect.fn("loadPrinciples")(function* (file: string) {
  const rows = yield* readRows(file)
  return yield* attempt(() => rows.map((row) => decodeRow([principleForm], row)))
})

/** Principles to compare by: rows with `principle`, a sentence on what the better response is like. */
export const loadPreferencePrinciples = Effect.fn("loadPreferencePrinciples")(function* (file: string) {
  const rows = yield* readRows(file)
  return yield* attempt(() => rows.map((row) => decodeRow([preferenceForm], row)))
})

/** The principle of a prompt: drawn from the seed and the prompt's number alone. */
export const drawn = <P>(principles: ReadonlyArray<P>, seed: number, number: number): P =>
  principles[Math.floor(philoxStream(seed, "constitution").uniform(number) * principles.length)]!
