import { option, optional } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { OwnOptions } from "../before-run/before-run-line.ts"
import { inPassing } from "../before-run/in-passing.ts"
import { readTarget, TARGET_USAGE } from "../before-run/target.ts"
import type { CommandRun } from "../command.ts"
import { diagnose } from "../doctor/diagnose.ts"
import { outputFindings } from "../doctor/output.ts"
import { ACCEPTABLE, refusedChecks, reportText, RunRefused } from "../doctor/report.ts"
import { asksForHelp } from "../help.ts"
import { launched } from "../launch.ts"
import { plannedCosts, type PlannedOptions } from "../plan/planned-costs.ts"
import { isFirstProcess } from "../processes.ts"
import { print, printJson } from "../terminal.ts"
import { TextRequested } from "../usage-error.ts"

/** Says what would go wrong with a run: examines it up to its first step, and writes nothing. */
export const doctorCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: GENERAL_HELP })
    const target = yield* readTarget("doctor", words, ownOptions)
    const { builtin, options } = target
    const { accept = [], json } = options as unknown as DoctorOptions
    if (yield* launched(options.processes)) return
    const before = yield* outputFindings(options.output)
    const costs =
      builtin === undefined || builtin.generates === true
        ? undefined
        : Effect.map(plannedCosts(builtin, options as unknown as PlannedOptions), (planned) => planned.costs)
    const { findings, first } = yield* inPassing(target, (run) => diagnose({ run, costs, accepted: accept }))
    if (!isFirstProcess()) return
    const all = [...before, ...findings]
    const checks = refusedChecks(all)
    yield* json
      ? printJson({ refused: checks, findings: all, first_step: first?.metrics ?? null })
      : print(reportText(all))
    if (checks.length > 0) return yield* new RunRefused({ checks })
  })

interface DoctorOptions {
  readonly accept?: ReadonlyArray<(typeof ACCEPTABLE)[number]> | undefined
  readonly json: boolean
}

const ownOptions: OwnOptions = {
  heading: "Doctor",
  says: "what would go wrong with this run, before it is started",
  fields: {
    accept: optional(
      Schema.Array(Schema.Literals(ACCEPTABLE)),
      "checks whose refusal is meant: they are warnings then"
    ),
    json: option(Schema.Boolean, false, "one JSON object")
  }
}

const GENERAL_HELP = `plumb doctor ${TARGET_USAGE}

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
