import { Effect, Schema } from "effect"
import { attempt } from "../errors.ts"
import { type RawRow, readRows } from "../files/read-rows.ts"
import { ConversationField, toConversation } from "./fields.ts"
import { decodeRow, type Form, form, notEmpty, originOf } from "./forms.ts"
import { PREFERENCE_FORMS } from "./preferences.ts"
import type { UnpairedRecord } from "./records.ts"
import { sameKind } from "./supervised.ts"

/**
 * Responses judged one by one: prompt + completion | response + label (true or 1 = desirable), or NeMo-Aligner's preference
 * ("chosen" or "rejected") in its place.
 * A row of a preference file gives two: its chosen side as desirable, then its rejected side as not.
 */
export const loadUnpaired = Effect.fn("loadUnpaired")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.flatMap((row) => decodeRow(FORMS, row)))
})

/** What says whether a response is desirable, and how. */
const labels = {
  label: Schema.Union([Schema.Boolean, Schema.Literals([0, 1])]),
  preference: Schema.Literals(["chosen", "rejected"])
}
const DESIRABLE: ReadonlyArray<unknown> = [true, 1, "chosen"]

const labelledForm = (completionName: string, labelName: keyof typeof labels): Form<ReadonlyArray<UnpairedRecord>> =>
  form(
    { prompt: ConversationField, [completionName]: ConversationField, [labelName]: labels[labelName] },
    {},
    (values: Readonly<Record<string, unknown>>, row: RawRow) => {
      const prompt = toConversation(values.prompt as typeof ConversationField.Type)
      const completion = toConversation(values[completionName] as typeof ConversationField.Type)
      notEmpty(row, completionName, completion)
      const label = DESIRABLE.includes(values[labelName])
      return [{ ...sameKind(prompt, completion), label, origin: originOf(row) }]
    }
  )

const FORMS: ReadonlyArray<Form<ReadonlyArray<UnpairedRecord>>> = [
  labelledForm("completion", "label"),
  labelledForm("response", "label"),
  labelledForm("response", "preference"),
  ...PREFERENCE_FORMS.map(({ decode, optional, required }) => ({
    required,
    optional,
    decode: (row: RawRow): ReadonlyArray<UnpairedRecord> => {
      const { prompt, chosen, rejected } = decode(row)
      const origin = originOf(row)
      return [
        { prompt, completion: chosen, label: true, origin },
        { prompt, completion: rejected, label: false, origin }
      ]
    }
  }))
]
