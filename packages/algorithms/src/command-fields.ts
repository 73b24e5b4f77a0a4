import { needed, optional } from "@plumbline/training"
import { Schema } from "effect"

/** Files of a run that trains a model from a folder on a file. */
export const fileFields = {
  model: needed(Schema.NonEmptyString, "folder of the model to start from, in the Hugging Face layout"),
  train: needed(Schema.NonEmptyString, "training data: .jsonl, .jsonl.gz or .parquet"),
  eval: optional(Schema.NonEmptyString, "held-out data, evaluated every --eval-every steps")
} as const

/** A share or weight in [0, 1]. */
export const UnitShare = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
