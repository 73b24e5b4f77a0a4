import { type AnyBuiltin, builtins } from "@plumbline/algorithms/commands"
import { flagName } from "@plumbline/data"
import { memoryFields, optional, readRunDescription, type RunDescription, RunNotFound } from "@plumbline/training"
import { Effect, Result, Schema } from "effect"
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import type { CommandLine } from "../command-line.ts"
import type { CommandRun } from "../command.ts"
import { recipeFolder, runIn } from "../find-run.ts"
import { flagsOf } from "../flags.ts"
import { loadRecipe } from "../load-recipe.ts"
import { decodeOptions, parseCommand } from "../parse-command.ts"
import { Patience, ProcessCount, Sharding } from "../processes.ts"
import { runFlagFields, type RunSettings } from "../run-services.ts"
import { statusOf } from "../status-of.ts"
import { print } from "../terminal.ts"
import { UsageError } from "../usage-error.ts"
import { startRecipe } from "./run.ts"
import { algorithmLine, startBuiltin } from "./train.ts"

const Options = Schema.Struct({
  ...memoryFields,
  processes: optional(ProcessCount, "share the steps over another number of processes"),
  sharding: optional(Sharding, "what these divide"),
  patience: optional(Patience, "seconds that one of them waits for another")
})
type Options = typeof Options.Type

const line: CommandLine<typeof Options> = {
  name: "resume",
  usage: "RUN [--micro-batch-size N] [--processes N]",
  summary: "goes on with a run from its newest checkpoint, with the options it was started with",
  arguments: [{ name: "RUN", description: "folder of the run" }],
  options: Options,
  group: () => "Options",
  configFile: false
}

const absence = (folder: string): string => {
  const found = statusOf(folder)
  if (found === undefined) return "there is no such folder"
  return found.isDirectory() ? "neither it nor a folder in it has a run.json" : "it is a file, not a folder"
}

const otherFolder = (folder: string, described: string) =>
  new RunNotFound({ folder, reason: `it has no run.json; ${described} has one` })

type Values = Readonly<Record<string, unknown>>

/** Goes on with a run that was stopped or killed. */
export const resumeCommand: CommandRun = (argv) =>
  Effect.gen(function* () {
    const parsed = yield* parseCommand(line, argv)
    const folder = parsed.arguments[0]!
    const described = runIn(folder)
    if (described === undefined) return yield* new RunNotFound({ folder, reason: absence(folder) })
    const description = yield* readRunDescription(described)
    const { invocation } = description
    if (invocation.command === "run") return yield* resumeRecipe(folder, described, description, parsed.options)
    if (described !== folder) return yield* otherFolder(folder, described)
    if (existsSync(join(folder, "final"))) {
      return yield* print(`${folder} is finished; its model is in ${join(folder, "final")}`)
    }
    const builtin = builtins.find(({ name }) => name === invocation.command)
    if (builtin === undefined) {
      const reason = `it was started by plumb ${invocation.command}, which this version does not have`
      return yield* new RunNotFound({ folder, reason })
    }
    yield* resumeBuiltin(folder, yield* Effect.promise(builtin.load), withMemory(invocation.options, parsed.options))
  })

/** The recorded options with those given now; micro-batches have a number of rows or of tokens, the newer of the two. */
const withMemory = (recorded: Values, given: Partial<Options>): Values => {
  const { microBatchSize, microBatchTokens, ...others } = recorded
  const sized = given.microBatchSize !== undefined || given.microBatchTokens !== undefined
  const kept = sized ? others : { ...others, microBatchSize, microBatchTokens }
  return Object.fromEntries(Object.entries({ ...kept, ...given }).filter(([, value]) => value !== undefined))
}

const resumeBuiltin = Effect.fnUntraced(function* (folder: string, builtin: AnyBuiltin, options: Values) {
  const { options: schema } = algorithmLine(builtin)
  const decoded = decodeOptions(schema, flagsOf(schema), options)
  if (Result.isFailure(decoded)) return yield* unreadable(folder, decoded.failure)
  // The folder may have moved since; the recorded options stay as they were.
  yield* startBuiltin(builtin, { ...decoded.success.options, output: folder }, options, true)
})

const RecipeInvocation = Schema.Struct({
  ...runFlagFields,
  recipe: Schema.String,
  params: Schema.Record(Schema.String, Schema.Unknown),
  cwd: Schema.String
})

const resumeRecipe = Effect.fnUntraced(function* (
  folder: string,
  described: string,
  { invocation, name }: RunDescription,
  { patience, processes, sharding, ...given }: Options
) {
  const {
    cwd,
    params: recorded,
    recipe: file,
    ...settings
  } = yield* Schema.decodeUnknownEffect(RecipeInvocation)(invocation.options, {
    errors: "all",
    onExcessProperty: "error"
  }).pipe(Effect.catch(({ message }) => unreadable(folder, [message])))
  const output = recipeFolder(resolve(described), name, settings.output)
  if (![output, resolve(described)].includes(resolve(folder))) return yield* otherFolder(folder, described)
  if (!existsSync(cwd)) return yield* unreadable(folder, [`it was started in ${cwd}, which is gone`])
  // Parameters that are relative paths start there.
  process.chdir(cwd)
  const recipe = yield* loadRecipe(file)
  const lacking = Object.keys(given).filter((name) => !(name in recipe.params.fields))
  if (lacking.length > 0) {
    const problems = lacking.map(
      (field) => `recipe ${recipe.name} has no parameter ${flagName(field)}: set it in ${file}`
    )
    return yield* new UsageError({ problems, help: `plumb run ${file} --help lists the parameters` })
  }
  const params = withMemory(recorded, given)
  const shared = Object.fromEntries(
    Object.entries({ patience, processes, sharding }).filter(([, value]) => value !== undefined)
  )
  const resumed: RunSettings = { ...settings, output, ...shared }
  const options = { ...invocation.options, params, ...shared }
  yield* startRecipe(recipe, params, resumed, { ...invocation, options }, true)
})

const unreadable = (folder: string, problems: ReadonlyArray<string>): Effect.Effect<never, RunNotFound> =>
  Effect.fail(new RunNotFound({ folder, reason: `its recorded options cannot be used: ${problems.join("; ")}` }))
