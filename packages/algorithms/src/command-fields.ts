import { adapterFields } from "@plumbline/peft"
import { needed, optional } from "@plumbline/training"
import { Schema } from "effect"

/** Files of a run that trains a model from a folder on a file, and which of its weights. */
export const trainFields = {
  model: needed(Schema.NonEmptyString, "folder of the model to start from, in the Hugging Face layout"),
  train: needed(Schema.NonEmptyString, "training data: .jsonl or .json, each also with .gz, or .parquet"),
  ...adapterFields
} as const

/** The same with held-out data. */
export const fileFields = {
  ...trainFields,
  eval: optional(Schema.NonEmptyString, "held-out data, evaluated every --eval-every steps")
} as const

/** A share or weight in [0, 1]. */
export const UnitShare = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
