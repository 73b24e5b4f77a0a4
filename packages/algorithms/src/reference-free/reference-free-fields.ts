import {
  batchFields,
  optimizationFields,
  option,
  optional,
  OptionsInvalid,
  Positive,
  runFields
} from "@plumbline/training"
import { Effect, Schema } from "effect"
import { fileFields } from "../command-fields.ts"
import type { LossInvalid } from "../loss-invalid.ts"

/** Options of every command whose loss looks at the policy alone. */
export const referenceFreeFields = {
  ...fileFields,
  reference: optional(Schema.NonEmptyString, "refused: this loss has no reference policy"),
  ...batchFields,
  ...optimizationFields,
  ...runFields,
  learningRate: option(Positive, 1e-6, "peak learning rate of AdamW")
} as const

/** The loss that options describe; a reference policy, which it has no place for, is refused. */
export const referenceFreeLoss = <Loss, Options extends { readonly reference?: string | undefined }>(
  name: string,
  options: Options,
  make: (options: Options) => Loss
): Effect.Effect<Loss, LossInvalid | OptionsInvalid> => {
  if (options.reference !== undefined) {
    const reason = `${name} looks at the policy alone and never asks a reference; plumb dpo has losses that do`
    return Effect.fail(new OptionsInvalid({ option: "--reference", reason }))
  }
  return Effect.try({ try: () => make(options), catch: (cause) => cause as LossInvalid })
}
