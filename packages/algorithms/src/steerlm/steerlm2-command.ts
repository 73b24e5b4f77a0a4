import { batchFields, optimizationFields, runFields, runTraining } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { Builtin } from "../builtin.ts"
import { fileFields } from "../command-fields.ts"
import { inputFiles, policyFolder, tokenizerOutput } from "../model-folder.ts"
import { steerLm2 } from "./steerlm2.ts"
import { weightedFiles, type WeightedGroup, WeightedResponses } from "./weighted-responses.ts"

export const SteerLm2Options = Schema.Struct({ ...fileFields, ...batchFields, ...optimizationFields, ...runFields })
export type SteerLm2Options = typeof SteerLm2Options.Type

/** `plumb steerlm2`: draws the model of a folder to the attributes' own distribution over sampled responses. */
export const steerLm2Command: Builtin<typeof SteerLm2Options, WeightedGroup> = {
  name: "steerlm2",
  options: SteerLm2Options,
  data: () => weightedFiles,
  referenceUse: () => "never",
  run: (options: SteerLm2Options) =>
    Effect.gen(function* () {
      return yield* runTraining({
        algorithm: steerLm2(),
        options,
        inputs: inputFiles({ ...options, reference: undefined }),
        extraFiles: yield* tokenizerOutput,
        highlights: ["distance"]
      })
    }).pipe(Effect.provide(WeightedResponses.layerFiles(options)), Effect.provide(policyFolder(options)))
}
