import { type AnyBuiltin, builtins } from "@plumbline/algorithms/commands"
import type { Invocation, RecipeServices } from "@plumbline/training"
import { Effect } from "effect"
import { join } from "node:path"
import type { CommandRun } from "../command.ts"
import { diagnose, type Patient } from "../doctor/diagnose.ts"
import { doctorLine, type DoctorOptions } from "../doctor/doctor-line.ts"
import { outputFindings, passingFolder } from "../doctor/output.ts"
import { refusedChecks, reportText, RunRefused } from "../doctor/report.ts"
import { asksForHelp } from "../help.ts"
import { launched } from "../launch.ts"
import { loadRecipe } from "../load-recipe.ts"
import { parseCommand } from "../parse-command.ts"
import { checkInputs } from "../path-options.ts"
import { plannedCosts, type PlannedOptions } from "../planned-costs.ts"
import { isFirstProcess } from "../processes.ts"
import { type RunSettings, withRunServices } from "../run-services.ts"
import { STORE_FILE } from "../store-file.ts"
import { suggestion } from "../suggest.ts"
import { print, printJson } from "../terminal.ts"
import { TextRequested, UsageError } from "../usage-error.ts"
import { decodedParams, paramsOf, recipeLine, runOf } from "./run.ts"
import { algorithmLine } from "./train.ts"

const USAGE = "ALGORITHM|run RECIPE.ts [--option value…]"

/** Says what would go wrong with a run: examines it up to its first step, and writes nothing. */
export const doctorCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: GENERAL_HELP })
    const [name, ...argv] = words
    if (name === "run") return yield* recipeDoctor(argv)
    const entry = builtins.find((candidate) => candidate.name === name)
    if (entry !== undefined) return yield* algorithmDoctor(yield* Effect.promise(entry.load), argv)
    const names = ["run", ...builtins.map((one) => one.name)]
    const problem =
      name === undefined || name.startsWith("-")
        ? `what to examine comes first: plumb doctor ${USAGE}`
        : `there is no algorithm "${name}"${suggestion(name, names)}`
    return yield* new UsageError({ problems: [problem], help: "plumb doctor --help says more" })
  })

const GENERAL_HELP = `plumb doctor ${USAGE}

What would go wrong with a run, before it is started: takes the options of the run, makes its first step in memory,
and writes nothing. Exit code 1 where the run should not begin as it is.

  bos            a row that begins with two beginning-of-text tokens
  loss-mask      a row of which no token counts in the loss
  end-of-turn    no row teaches the model to stop
  template       a chat template that changes what it has rendered once more is said
  prompt-length  prompts that leave no room for a response
  sampler        sampler and trainer that do not agree on how likely tokens are
  first-step     a first loss or reward other than that of a policy which is its reference (DPO: ln 2)
  micro-batches  a step that depends on how its batch is split
  memory         more memory than there is

plumb doctor sft --help, plumb doctor run RECIPE.ts --help list the options.`

type AnyOptions = Readonly<Record<string, unknown>>

const algorithmDoctor = Effect.fnUntraced(function* (builtin: AnyBuiltin, argv: ReadonlyArray<string>) {
  const { options } = yield* parseCommand(doctorLine(algorithmLine(builtin, "doctor ")), argv)
  yield* checkInputs(options as AnyOptions)
  yield* examine(options as unknown as Settings, { command: builtin.name, options: {} }, (folder) => ({
    run: builtin.run({ ...options, output: folder }),
    costs:
      builtin.generates === true
        ? undefined
        : Effect.map(plannedCosts(builtin, options as unknown as PlannedOptions), ({ costs }) => costs)
  }))
})

const recipeDoctor = Effect.fnUntraced(function* (words: ReadonlyArray<string>) {
  const [file, ...argv] = words
  if (file === undefined || file.startsWith("-")) {
    const problems = ["the recipe file comes first: plumb doctor run RECIPE.ts [--param value…]"]
    return yield* new UsageError({ problems, help: "plumb doctor --help says more" })
  }
  const recipe = yield* loadRecipe(file)
  const { encoded, options } = yield* parseCommand(doctorLine(recipeLine(file, recipe, "doctor ")), argv)
  const params = yield* decodedParams(recipe, paramsOf(recipe, encoded))
  yield* examine(options as unknown as Settings, { command: "run", options: {} }, () => ({
    run: Effect.flatten(runOf(recipe, file, params))
  }))
})

type Settings = Omit<RunSettings, "output"> & Partial<Pick<RunSettings, "output">> & DoctorOptions

type Examined = Pick<Patient<unknown, RecipeServices>, "run" | "costs">

const examine = Effect.fnUntraced(function* (
  settings: Settings,
  invocation: Invocation,
  patient: (folder: string) => Examined
) {
  if (yield* launched(settings.processes)) return
  const { accept = [], json, precision } = settings
  const folder = yield* passingFolder
  const elsewhere = { ...settings, output: folder, store: join(folder, STORE_FILE) }
  const before = yield* outputFindings(settings.output)
  const { findings, first } = yield* diagnose({ ...patient(folder), precision, accepted: accept }).pipe(
    withRunServices({ settings: elsewhere, resume: false, invocation })
  )
  if (!isFirstProcess()) return
  const all = [...before, ...findings]
  const checks = refusedChecks(all)
  yield* json
    ? printJson({ refused: checks, findings: all, first_step: first?.metrics ?? null })
    : print(reportText(all))
  if (checks.length > 0) return yield* new RunRefused({ checks })
}, Effect.scoped)
