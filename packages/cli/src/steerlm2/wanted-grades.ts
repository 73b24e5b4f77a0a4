import { type Attributes, SteeringInvalid } from "@plumbline/algorithms"
import type { Conversation, PromptRecord } from "@plumbline/data"
import { Effect } from "effect"
import { RowUnusable } from "../model-input.ts"
import { placeOf } from "../prompt-input.ts"

/** A prompt and the grades that its responses are wanted to have. */
export interface GradedPrompt {
  readonly prompt: Conversation
  readonly grades: Attributes
}

/**
 * A prompt with its grades: those of the command line, or those of the row.
 *
 * @param names of the attributes, in the order of the policy
 */
export const gradedPrompt = (
  record: PromptRecord,
  names: ReadonlyArray<string>,
  given: Attributes | undefined,
  max: number
): Effect.Effect<GradedPrompt, RowUnusable> => {
  const refuse = (reason: string) => Effect.fail(new RowUnusable({ place: placeOf(record), reason }))
  if (record.kind === "ids") return refuse("has token ids, and models with other vocabularies read it as text")
  const grades = given ?? ownGrades(record, names)
  if (Object.keys(grades).length === 0) {
    return refuse(`has none of ${names.join(", ")}; give the grades there or with --attributes`)
  }
  const odd = Object.entries(grades).find(([, grade]) => !(Number.isInteger(grade) && grade >= 0 && grade <= max))
  if (odd !== undefined) return refuse(`${odd[0]} is ${odd[1]}, not a whole number from 0 to ${max}`)
  return Effect.succeed({ prompt: record.kind === "text" ? record.text : record.messages, grades })
}

const ownGrades = ({ fields = {} }: PromptRecord, names: ReadonlyArray<string>): Attributes =>
  Object.fromEntries(names.flatMap((name) => (typeof fields[name] === "number" ? [[name, fields[name]] as const] : [])))

/** Fails where the attribute model does not grade what the policy was conditioned on. */
export const gradedByModel = (folder: string, wanted: ReadonlyArray<string>, known: ReadonlyArray<string>) => {
  const unknown = wanted.find((name) => !known.includes(name))
  return unknown === undefined
    ? Effect.void
    : Effect.fail(new SteeringInvalid({ folder, reason: `grades ${known.join(", ")}, not ${unknown}` }))
}
