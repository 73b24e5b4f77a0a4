import { type AnyBuiltin, builtins } from "@plumbline/algorithms/commands"
import type { RecipeServices } from "@plumbline/training"
import { Effect } from "effect"
import type { CommandFailure } from "../command.ts"
import { decodedParams, paramsOf, recipeLine, runOf } from "../commands/run.ts"
import { algorithmLine, checkShardable } from "../commands/train.ts"
import { loadRecipe } from "../load-recipe.ts"
import { parseCommand } from "../parse-command.ts"
import { checkInputs } from "../path-options.ts"
import type { RunSettings } from "../run-services.ts"
import { suggestion } from "../suggest.ts"
import { UsageError } from "../usage-error.ts"
import { beforeRunLine, type OwnOptions } from "./before-run-line.ts"

/** A run that a command looks at. */
export interface Target {
  /** Its own options and the command's. */
  readonly options: Omit<RunSettings, "output"> & Partial<Pick<RunSettings, "output">>
  /** Undefined for a recipe. */
  readonly builtin: AnyBuiltin | undefined
  /** Makes the run in a folder; each time anew. */
  readonly run: (folder: string) => Effect.Effect<unknown, CommandFailure, RecipeServices>
}

export const TARGET_USAGE = "ALGORITHM|run RECIPE.ts [--option value…]"

/** Reads the command line of a run after the name of the command that looks at it. */
export const readTarget = Effect.fnUntraced(function* (command: string, words: ReadonlyArray<string>, own: OwnOptions) {
  const [name, ...argv] = words
  if (name === "run") return yield* recipeTarget(command, argv, own)
  const entry = builtins.find((candidate) => candidate.name === name)
  if (entry !== undefined) {
    return yield* algorithmTarget(command, yield* Effect.promise(entry.load), argv, own)
  }
  const names = ["run", ...builtins.map((one) => one.name)]
  const problem =
    name === undefined || name.startsWith("-")
      ? `the algorithm comes first: plumb ${command} ${TARGET_USAGE}`
      : `there is no algorithm "${name}"${suggestion(name, names)}`
  return yield* new UsageError({ problems: [problem], help: `plumb ${command} --help says more` })
})

const algorithmTarget = Effect.fnUntraced(function* (
  command: string,
  builtin: AnyBuiltin,
  argv: ReadonlyArray<string>,
  own: OwnOptions
) {
  const { options } = yield* parseCommand(beforeRunLine(algorithmLine(builtin, `${command} `), own), argv)
  yield* checkInputs(options as Readonly<Record<string, unknown>>)
  yield* checkShardable(builtin, options as unknown as RunSettings)
  const target: Target = {
    options: options as unknown as Target["options"],
    builtin,
    run: (folder) => builtin.run({ ...options, output: folder })
  }
  return target
})

const recipeTarget = Effect.fnUntraced(function* (command: string, words: ReadonlyArray<string>, own: OwnOptions) {
  const [file, ...argv] = words
  if (file === undefined || file.startsWith("-")) {
    const problems = [`the recipe file comes first: plumb ${command} run RECIPE.ts [--param value…]`]
    return yield* new UsageError({ problems, help: `plumb ${command} --help says more` })
  }
  const recipe = yield* loadRecipe(file)
  const line = beforeRunLine(recipeLine(file, recipe, `${command} `), own)
  const { encoded, options } = yield* parseCommand(line, argv)
  const params = yield* decodedParams(recipe, paramsOf(recipe, encoded))
  const target: Target = {
    options: options as unknown as Target["options"],
    builtin: undefined,
    run: () => Effect.flatten(runOf(recipe, file, params))
  }
  return target
})
