import { openedPreferenceDataset, loadPreferences, type TokenizedPreference } from "@plumbline/data"
import type { AdapterOptions } from "@plumbline/peft"
import { runTraining, type TrainingOptions } from "@plumbline/training"
import { Effect, Layer } from "effect"
import { dataFromFiles, dataKind } from "../data-file.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { PreferenceData } from "../preference/preference-data.ts"
import type { ReferenceFreeLoss } from "./reference-free-loss.ts"
import { referenceFree } from "./reference-free.ts"

/** Preference pairs in files, every row beginning with BOS where the tokenizer has one, as TRL's CPO and ORPO read them. */
export const openedPairFiles = dataKind({
  load: loadPreferences,
  tokenize: openedPreferenceDataset,
  rows: ({ chosen, rejected }: TokenizedPreference) => [chosen, rejected]
})

interface ReferenceFreeRun extends TrainingOptions, AdapterOptions {
  readonly model: string
  readonly train: string
  readonly eval?: string | undefined
}

/** Trains the model of a folder with a loss that looks at the policy alone on the preference pairs of a file. */
export const runReferenceFree = (loss: ReferenceFreeLoss, options: ReferenceFreeRun) =>
  Effect.gen(function* () {
    return yield* runTraining({
      algorithm: referenceFree(loss),
      options,
      inputs: inputFiles({ ...options, reference: undefined }),
      extraFiles: yield* tokenizerOutput,
      highlights: ["rewards/accuracies", "rewards/margins"]
    })
  }).pipe(
    Effect.provide(Layer.effect(PreferenceData, dataFromFiles(openedPairFiles, options))),
    Effect.provide(policyFolder(options))
  )
