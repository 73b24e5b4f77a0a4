import { openScored } from "@plumbline/algorithms"
import { loadTokenizer } from "@plumbline/data"
import { loadCausalLM, type Model, readConfig, saveModel } from "@plumbline/models"
import { loadAdapter, merged, mergedFields } from "@plumbline/peft"
import { needed, option, OptionsInvalid, OutputUnwritable } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { existsSync, readdirSync } from "node:fs"
import { resolve } from "node:path"
import { machineFields, onMachine } from "../backend.ts"
import { checkWritable } from "../check-writable.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { parseCommand } from "../parse-command.ts"
import { givesScores } from "../reward-input.ts"
import { print } from "../terminal.ts"

const { backend, device } = machineFields

const Options = Schema.Struct({
  model: needed(Schema.NonEmptyString, "folder of the model that the adapter was trained on"),
  adapter: needed(Schema.NonEmptyString, "folder of the adapter, in PEFT's layout"),
  output: needed(Schema.NonEmptyString, "new folder for the merged model, in the Hugging Face layout"),
  dtype: option(Schema.Literals(["float32", "bfloat16", "float16"]), "float32", "stored type of the weights"),
  backend,
  device
})

const line: CommandLine<typeof Options> = {
  name: "merge",
  usage: "--model DIR --adapter DIR --output DIR",
  summary: "writes a model that computes without an adapter what the model does with it",
  arguments: [],
  options: Options,
  group: (field) => (field in machineFields ? "Machine" : "Options"),
  configFile: false
}

/** Merges an adapter into its model's weights. */
export const mergeCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const { options } = yield* parseCommand(line, argv)
    const { adapter, dtype, model: folder, output } = options
    yield* checkWritable(output)
    const input = [folder, adapter].find((path) => resolve(path) === resolve(output))
    if (input !== undefined) {
      const reason = `${output} is read, and would be lost: choose another folder`
      return yield* new OptionsInvalid({ option: "--output", reason })
    }
    if (existsSync(output) && readdirSync(output).length > 0) {
      const reason = "it is there already; name another folder, or remove it"
      return yield* new OutputUnwritable({ path: output, reason })
    }
    yield* Effect.gen(function* () {
      yield* readConfig(folder)
      const { files } = yield* loadTokenizer(folder)
      const base = yield* openBase(folder, adapter)
      const adapted = yield* Effect.acquireRelease(loadAdapter(base, adapter, { trainable: false }), ({ model }) =>
        Effect.sync(model.dispose)
      )
      const model = yield* living(Effect.sync(() => merged(adapted)))
      const configFields = yield* mergedFields(base, adapter)
      yield* saveModel(model, output, { dtype, extraFiles: files, configFields })
    }).pipe(Effect.scoped, onMachine({ ...options, precision: "float32", batchInvariant: false, deterministic: false }))
    yield* print(`${output} holds the model with ${adapter} merged into it`)
  })

/** The folder's model, of either kind, or its decoder with room for the head that the adapter brings. */
const openBase = Effect.fnUntraced(function* (folder: string, adapter: string) {
  const model: Model = (yield* givesScores({ model: folder, adapter }))
    ? yield* openScored(folder, adapter)
    : yield* living(loadCausalLM(folder, { name: "base", trainable: false }))
  return model
})

const living = <M extends { readonly dispose: () => void }, E, R>(make: Effect.Effect<M, E, R>) =>
  Effect.acquireRelease(make, (model) => Effect.sync(model.dispose))
