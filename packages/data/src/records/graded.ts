import { Effect } from "effect"
import { attempt, MalformedRecord } from "../errors.ts"
import { type RawRow, readRows } from "../files/read-rows.ts"
import { decodeRow, originOf } from "./forms.ts"
import { JUDGED_FORMS } from "./judged.ts"
import type { GradedRecord } from "./records.ts"

/** What NeMo-Aligner and HelpSteer write for a grade that nobody gave. */
const MISSING = -100

/**
 * Rows of `loadJudged` with grades: a number under the name of each attribute, or NeMo-Aligner's `label`, a list in the order
 * of `attributes`. Absent, null and -100 are missing grades.
 */
export const loadGraded = (attributes: ReadonlyArray<string>) =>
  Effect.fn("loadGraded")(function* (path: string) {
    const rows = yield* readRows(path)
    return yield* attempt(() =>
      rows.map((row): GradedRecord => ({
        judged: decodeRow(JUDGED_FORMS, row),
        grades: Float32Array.from(gradesOf(row, attributes)),
        origin: originOf(row)
      }))
    )
  })

const gradesOf = (row: RawRow, attributes: ReadonlyArray<string>): ReadonlyArray<number> => {
  const listed = row.value["label"]
  if (!Array.isArray(listed)) return attributes.map((name) => grade(row, name, row.value[name]))
  if (listed.length !== attributes.length) {
    const reason = `holds ${listed.length} grades for ${attributes.length} attributes (${attributes.join(", ")})`
    throw new MalformedRecord({ ...originOf(row), field: "label", reason })
  }
  return listed.map((value: unknown, k) => grade(row, `label.${k}`, value))
}

const grade = (row: RawRow, field: string, value: unknown): number => {
  if (value === undefined || value === null || value === MISSING) return Number.NaN
  if (typeof value === "number" && Number.isFinite(value)) return value
  throw new MalformedRecord({ ...originOf(row), field, reason: `a grade is a number, not ${JSON.stringify(value)}` })
}
