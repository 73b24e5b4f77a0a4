import { Effect, Schema } from "effect"
import { attempt, MalformedRecord } from "../errors.ts"
import { readRows } from "../files/read-rows.ts"
import { decodeRow, type Form, form, originOf } from "./forms.ts"
import type { StepwiseRecord } from "./records.ts"

/** Responses in steps, as TRL has them: prompt + completions + labels; a label that is null leaves its step unjudged. */
export const loadStepwise = Effect.fn("loadStepwise")(function* (path: string) {
  const rows = yield* readRows(path)
  return yield* attempt(() => rows.map((row) => decodeRow(FORMS, row)))
})

const Label = Schema.NullOr(Schema.Union([Schema.Boolean, Schema.Literals([0, 1])]))

const stepwise = (steps: string): Form<StepwiseRecord> =>
  form(
    { prompt: Schema.String, [steps]: Schema.Array(Schema.String), labels: Schema.Array(Label) },
    {},
    (values, row) => {
      const texts = values[steps] as ReadonlyArray<string>
      const labels = values.labels as ReadonlyArray<typeof Label.Type>
      if (texts.length !== labels.length) {
        const reason = `holds ${labels.length} labels for ${texts.length} steps`
        throw new MalformedRecord({ ...originOf(row), field: "labels", reason })
      }
      return {
        prompt: values.prompt as string,
        steps: texts,
        labels: labels.map((label) => (label === null ? undefined : label === true || label === 1)),
        origin: originOf(row)
      }
    }
  )

const FORMS: ReadonlyArray<Form<StepwiseRecord>> = [stepwise("completions"), stepwise("steps")]
