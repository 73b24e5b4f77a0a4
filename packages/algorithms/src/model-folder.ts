import { loadTokenizer, Tokenizer } from "@plumbline/data"
import { Policy } from "@plumbline/models"
import { Effect, Layer } from "effect"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** The policy of a Hugging Face folder, to be trained, and its tokenizer. */
export const policyFolder = (folder: string) =>
  Layer.merge(Policy.layerFromFolder(folder), Layer.effect(Tokenizer, loadTokenizer(folder)))

/** Files of a model folder that decide a run's numbers: its weights, configuration and tokenizer. */
export const modelFiles = (folder: string): ReadonlyArray<string> =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /\.(safetensors|json|jinja)$/.test(name))
        .toSorted()
        .map((name) => join(folder, name))
    : []

/** Files that a trained model's folder needs to be used alone. */
export const tokenizerOutput = Effect.map(Tokenizer, ({ files }) => files)

interface InputOptions {
  readonly model: string
  readonly reference?: string | undefined
  readonly train: string
  readonly eval?: string | undefined
}

/** Every file that decides a run's numbers. */
export const inputFiles = (options: InputOptions): ReadonlyArray<string> => [
  ...modelFiles(options.model),
  ...(options.reference === undefined ? [] : modelFiles(options.reference)),
  options.train,
  ...(options.eval === undefined ? [] : [options.eval])
]
