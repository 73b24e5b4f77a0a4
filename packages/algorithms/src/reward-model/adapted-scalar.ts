import type { ScalarModel } from "@plumbline/models"
import { adaptedBy, type AdapterOptions, headFields } from "@plumbline/peft"

const HEAD_MODULE = "score"

interface AdaptedScalar {
  /** Of a new adapter. */
  readonly seed: number
  /** Of the model below. */
  readonly folder: string
}

/** A model that gives numbers with the adapter that options ask for, beside which its head is trained. */
export const adaptedScalar = (base: ScalarModel, options: AdapterOptions, { folder, seed }: AdaptedScalar) =>
  adaptedBy(base, options, {
    seed,
    baseFolder: folder,
    alsoTrained: [HEAD_MODULE],
    configFields: headFields(base.head)
  })
