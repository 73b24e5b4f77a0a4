import type { TokenizedRow } from "@plumbline/data"
import { stringifyTyped, withTyped } from "../rollout/typed-json.ts"
import type { CriticLesson } from "./critic.ts"

/**
 * What is said between a policy and a critic of another process: JSON in which a typed array is an object of its type and
 * its bytes in base64, so that every number arrives as it was sent.
 *
 * | path                | sent                    | answered                                  |
 * | ------------------- | ----------------------- | ----------------------------------------- |
 * | `/v1/critic/values` | `{ rows }`              | `{ values }`                              |
 * | `/v1/critic/train`  | `{ rows, steps }`       | `{ lesson }`, at once                     |
 * | `/v1/critic/learnt` | `{ lesson }`            | `{ metrics }`, when it is through         |
 * | `/v1/critic/save`   | `{ name }`              | `{ where }`                               |
 * | `/v1/critic/restore`| `{ where }`             | `{}`                                      |
 */
export const CRITIC_PATH = "/v1/critic/"

export const encodeWire = (value: unknown): string => stringifyTyped(value)

/** The value with its typed arrays. @param value parsed JSON; @throws where an array's bytes are none */
export const decodeWire = (value: unknown): Readonly<Record<string, unknown>> => {
  const decoded = withTyped(value)
  if (typeof decoded !== "object" || decoded === null || Array.isArray(decoded)) throw new TypeError("is no object")
  return decoded as Readonly<Record<string, unknown>>
}

/** @throws where it is no list of rows */
export const rowsOf = (value: unknown, vocabulary = Infinity): ReadonlyArray<TokenizedRow> => {
  if (!Array.isArray(value)) throw new TypeError("rows: is no list")
  for (const [i, row] of (value as ReadonlyArray<Partial<TokenizedRow> | null>).entries()) {
    const { ids, lossMask } = row ?? {}
    if (!(ids instanceof Int32Array) || ids.length === 0) throw new TypeError(`rows[${i}].ids: is no int32 array`)
    if (!(lossMask instanceof Uint8Array) || lossMask.length !== ids.length) {
      throw new TypeError(`rows[${i}].lossMask: is no uint8 array of ${ids.length}`)
    }
    const outside = ids.find((id) => id < 0 || id >= vocabulary)
    if (outside !== undefined) throw new TypeError(`rows[${i}].ids: token ${outside} of a vocabulary of ${vocabulary}`)
  }
  return value as ReadonlyArray<TokenizedRow>
}

/** @throws where it is no lesson */
export const lessonFrom = ({ rows, steps }: Readonly<Record<string, unknown>>, vocabulary: number): CriticLesson => {
  if (!Array.isArray(rows) || !Array.isArray(steps)) throw new TypeError("rows and steps are lists")
  rowsOf(
    rows.map((row: { readonly row?: unknown } | null) => row?.row),
    vocabulary
  )
  const lesson = { rows, steps } as unknown as CriticLesson
  for (const [i, { oldValues, returns, row }] of lesson.rows.entries()) {
    const counted = row.lossMask.reduce((sum, counts, t) => sum + (t === 0 ? 0 : counts), 0)
    for (const [name, numbers] of Object.entries({ oldValues, returns })) {
      if (!(numbers instanceof Float32Array) || numbers.length !== counted) {
        throw new TypeError(`rows[${i}].${name}: is no float32 array of ${counted}`)
      }
    }
  }
  const known = (index: unknown) => Number.isInteger(index) && (index as number) >= 0 && (index as number) < rows.length
  if (!lesson.steps.every((step) => Array.isArray(step) && step.every(known))) throw new TypeError("steps: no rows")
  return lesson
}
