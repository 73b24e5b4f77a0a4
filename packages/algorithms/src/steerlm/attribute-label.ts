import { MalformedRecord, type Origin, type TokenizedRow, type TokenizerShape } from "@plumbline/data"
import { Schema } from "effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { answerStart } from "../supervised/last-answer.ts"

/** What a response is to be like: grades by name. */
export type Attributes = Readonly<Record<string, number>>

/**
 * The line that a conditioned model reads between a prompt and its response: `helpfulness:4,verbosity:1`.
 *
 * @param names in the order of training; attributes that are not there are left out
 */
export const attributeLabel = (names: ReadonlyArray<string>, attributes: Attributes): string =>
  `${names.flatMap((name) => (attributes[name] === undefined ? [] : [`${name}:${attributes[name]}`])).join(",")}\n`

/** Ids of the label, the same in training and at inference. */
export const labelIds = (tokenizer: TokenizerShape, names: ReadonlyArray<string>, attributes: Attributes): Int32Array =>
  tokenizer.encode(attributeLabel(names, attributes), { addSpecialTokens: false })

/** The row with the label before its last answer; the label is given, not learnt. */
export const labelled = ({ ids, lossMask }: TokenizedRow, label: Int32Array): TokenizedRow => {
  const start = answerStart(lossMask)
  const all = { ids: new Int32Array(ids.length + label.length), lossMask: new Uint8Array(ids.length + label.length) }
  all.ids.set(ids.subarray(0, start))
  all.ids.set(label, start)
  all.ids.set(ids.subarray(start), start + label.length)
  // earlier answers have no grades of their own: they are read only
  all.lossMask.set(lossMask.subarray(start), start + label.length)
  return all
}

/** @throws MalformedRecord where a row has none of the attributes */
export const gradesOf = (
  names: ReadonlyArray<string>,
  attributes: Attributes | undefined,
  origin: Origin
): Attributes => {
  const known = names.filter((name) => attributes?.[name] !== undefined)
  if (known.length > 0) return Object.fromEntries(known.map((name) => [name, attributes![name]!]))
  throw new MalformedRecord({ ...origin, field: names[0] ?? "", reason: `the row has none of ${names.join(", ")}` })
}

/** File of a model folder that says what the model was conditioned on. */
export const ATTRIBUTES_FILE = "steerlm.json"

const Described = Schema.fromJsonString(Schema.Struct({ attributes: Schema.Array(Schema.String) }))

export const describeAttributes = (names: ReadonlyArray<string>) => ({
  [ATTRIBUTES_FILE]: `${JSON.stringify({ attributes: names }, undefined, 2)}\n`
})

/** The model cannot be steered so. */
export class SteeringInvalid extends Schema.TaggedError<SteeringInvalid>()("SteeringInvalid", {
  folder: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.folder}: ${this.reason}`
  }
}

/**
 * The attributes that a model was conditioned on, in their order.
 *
 * @throws SteeringInvalid where it was on none, or not on one of these
 */
export const conditionedOn = (folder: string, wanted: Attributes): ReadonlyArray<string> => {
  const names = readNames(folder)
  const unknown = Object.keys(wanted).find((name) => !names.includes(name))
  if (unknown === undefined) return names
  throw new SteeringInvalid({ folder, reason: `was conditioned on ${names.join(", ")}, not on ${unknown}` })
}

const readNames = (folder: string): ReadonlyArray<string> => {
  try {
    return Schema.decodeSync(Described)(readFileSync(join(folder, ATTRIBUTES_FILE), "utf8")).attributes
  } catch {
    throw new SteeringInvalid({ folder, reason: `has no ${ATTRIBUTES_FILE}: it was not trained with plumb steerlm` })
  }
}
