import { type Invocation, optional, shellWord, StopRequest } from "@plumbline/training"
import { RunStore } from "@plumbline/store"
import { Effect, identity, Schema } from "effect"
import { existsSync, readdirSync } from "node:fs"
import { join, resolve, sep } from "node:path"
import { machineFields } from "../backend.ts"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import type { OptionSchema } from "../flags.ts"
import { asksForHelp } from "../help.ts"
import { launched } from "../launch.ts"
import { type AnyRecipe, loadRecipe, RecipeInvalid } from "../load-recipe.ts"
import { parseCommand } from "../parse-command.ts"
import { isFirstProcess, sharedFields } from "../processes.ts"
import { runFlagFields, type RunSettings, withRunServices } from "../run-services.ts"
import { storeBeside } from "../store-file.ts"
import { print } from "../terminal.ts"
import { TextRequested, UsageError } from "../usage-error.ts"

const USAGE = "RECIPE.ts [--param value…] [--output DIR]"

/** Runs a recipe file; its parameters are flags. */
export const runCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: GENERAL_HELP })
    const [file, ...argv] = words
    if (file === undefined || file.startsWith("-")) {
      const problems = [`the recipe file comes first: plumb run ${USAGE}`]
      return yield* new UsageError({ problems, help: "plumb run --help says more" })
    }
    const recipe = yield* loadRecipe(file)
    const { encoded, options } = yield* parseCommand(recipeLine(file, recipe), argv)
    const params = paramsOf(recipe, encoded)
    const chosen = options as unknown as Omit<RunSettings, "output"> & Partial<Pick<RunSettings, "output">>
    const settings: RunSettings = { output: join("runs", recipe.name), ...chosen }
    const invocation: Invocation = {
      command: "run",
      options: {
        ...Object.fromEntries(Object.keys(runFlagFields).flatMap((key) => given(encoded, key))),
        recipe: resolve(file),
        params,
        output: resolve(settings.output),
        store: settings.store === undefined ? storeBeside(settings.output) : resolve(settings.store),
        cwd: process.cwd()
      }
    }
    yield* startRecipe(recipe, params, settings, invocation, false)
  })

const GENERAL_HELP = `plumb run ${USAGE}

Runs a recipe: a TypeScript file whose default export is recipe({ name, params, run }).
plumb run RECIPE.ts --help shows its parameters.`

/** The command line of a recipe; `doctor` takes the same. */
export const recipeLine = (file: string, recipe: AnyRecipe, prefix = ""): CommandLine<OptionSchema> => ({
  name: `${prefix}run ${file}`,
  usage: "[--param value…] [--output DIR]",
  summary: `recipe ${recipe.name}`,
  arguments: [],
  options: Schema.Struct({
    ...recipe.params.fields,
    ...runFlagFields,
    output: optional(Schema.NonEmptyString, `folder of the run (default: runs/${recipe.name})`)
  }),
  group: (field) => {
    if (field in machineFields || field in sharedFields) return "Machine"
    return field in recipe.params.fields ? "Parameters" : "Files"
  },
  configFile: true
})

/** Those of a command's options that are the recipe's, as plain data. */
export const paramsOf = (recipe: AnyRecipe, encoded: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.keys(recipe.params.fields).flatMap((key) => given(encoded, key)))

const given = (values: Readonly<Record<string, unknown>>, key: string): ReadonlyArray<readonly [string, unknown]> =>
  key in values ? [[key, values[key]]] : []

/** Starts a recipe, or goes on with it. @param params as plain data, every one resolved */
export const startRecipe = Effect.fnUntraced(function* (
  recipe: AnyRecipe,
  params: Readonly<Record<string, unknown>>,
  settings: RunSettings,
  invocation: Invocation,
  resume: boolean
) {
  const decoded = yield* decodedParams(recipe, params)
  if (yield* launched(settings.processes)) return
  const { output } = settings
  const running = yield* runOf(recipe, String(invocation.options["recipe"]), decoded)
  const stopped = yield* running.pipe(
    Effect.andThen(Effect.flatMap(StopRequest, (isAsked) => (isAsked() ? hasStopped(output) : Effect.succeed(false)))),
    // What comes after a stage that was stopped misses that stage's model: that is no failure of its own.
    Effect.catch((error) => Effect.filterOrFail(hasStopped(output), identity<boolean>, () => error)),
    withRunServices({ settings, invocation, resume })
  )
  if (!isFirstProcess()) return
  if (stopped) return yield* print(`stopped; go on: plumb resume ${shellWord(output)}`)
  for (const folder of modelFolders(output)) yield* print(`model:   ${folder}`)
  yield* print(`charts:  plumb show ${shellWord(output)}`)
})

export const decodedParams = (recipe: AnyRecipe, params: Readonly<Record<string, unknown>>) =>
  Schema.decodeUnknownEffect(recipe.params as unknown as Schema.Codec<OptionSchema["Type"]>)(params, {
    errors: "all",
    onExcessProperty: "error"
  }).pipe(
    Effect.mapError(
      ({ message }) => new UsageError({ problems: [message], help: "plumb run RECIPE.ts --help lists the parameters" })
    )
  )

/** What a recipe is to do. Its code runs. */
export const runOf = Effect.fnUntraced(function* (recipe: AnyRecipe, file: string, params: OptionSchema["Type"]) {
  const running: unknown = recipe.run(params)
  if (isEffect(running)) return running
  const reason = "its run gives no Effect; write: run: (params) => runTraining({ … })"
  return yield* new RecipeInvalid({ file, reason })
})

/** Whether a stage ended before its last step, by a signal or its time limit. */
const hasStopped = (output: string) =>
  Effect.map(
    Effect.flatMap(RunStore, (store) => store.runs()),
    (runs) =>
      runs.some(({ folder, status }) => status === "stopped" && `${folder}${sep}`.startsWith(resolve(output) + sep))
  )

/** Models that the stages of a recipe left. */
const modelFolders = (output: string): ReadonlyArray<string> => {
  if (!existsSync(output)) return []
  const stages = readdirSync(output, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return [output, ...stages.map(({ name }) => join(output, name))]
    .map((folder) => join(folder, "final"))
    .filter((folder) => existsSync(folder))
}

const isEffect = (value: unknown): value is ReturnType<AnyRecipe["run"]> => Effect.isEffect(value)
