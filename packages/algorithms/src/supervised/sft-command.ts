import type { TokenizedRow } from "@plumbline/data"
import { batchFields, optimizationFields, option, runFields, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { sft } from "./sft.ts"
import { demonstrationFiles, SupervisedData } from "./supervised-data.ts"
import { dft, nll } from "./token-loss.ts"

/** What `--loss` can name. */
const losses = { nll, dft } as const

export const SftOptions = Schema.Struct({
  ...fileFields,
  loss: option(
    Schema.Literals(Object.keys(losses) as ReadonlyArray<keyof typeof losses>),
    "nll",
    "what a token costs: its negative log-likelihood, or that times its probability (dft), so that unlikely tokens teach little"
  ),
  ...batchFields,
  ...optimizationFields,
  ...runFields
})
export type SftOptions = typeof SftOptions.Type

/** `plumb sft`: fine-tunes the model of a folder on the demonstrations of a file. */
export const sftCommand: Builtin<typeof SftOptions, TokenizedRow> = {
  name: "sft",
  options: SftOptions,
  data: () => demonstrationFiles,
  referenceUse: () => "never",
  run: (options: SftOptions) =>
    Effect.gen(function* () {
      return yield* runTraining({
        algorithm: sft(losses[options.loss]),
        options,
        inputs: inputFiles(options),
        extraFiles: yield* tokenizerOutput,
        highlights: ["mean_token_accuracy"]
      })
    }).pipe(Effect.provide(SupervisedData.layerFiles(options)), Effect.provide(policyFolder(options)))
}
