import { option } from "@plumbline/training"
import { Effect, Schema } from "effect"
import type { MachineOptions } from "../backend.ts"
import type { OwnOptions } from "../before-run/before-run-line.ts"
import { readTarget, TARGET_USAGE } from "../before-run/target.ts"
import type { CommandRun } from "../command.ts"
import { asksForHelp } from "../help.ts"
import { launched } from "../launch.ts"
import { computedPlan } from "../plan/computed-plan.ts"
import { measuredPlan } from "../plan/measured-plan.ts"
import type { PlannedOptions } from "../plan/planned-costs.ts"
import { TextRequested } from "../usage-error.ts"

/** Says what a run would take, and starts nothing. */
export const planCommand: CommandRun = (words) =>
  Effect.gen(function* () {
    if (asksForHelp(words)) return yield* new TextRequested({ text: GENERAL_HELP })
    const target = yield* readTarget("plan", words, ownOptions)
    const { builtin, options } = target
    const { json } = options as unknown as { readonly json: boolean }
    if (builtin !== undefined && builtin.generates !== true) {
      return yield* computedPlan(builtin, options as unknown as PlannedOptions & MachineOptions, json)
    }
    if (yield* launched(options.processes)) return
    yield* measuredPlan(target, json)
  })

const ownOptions: OwnOptions = {
  heading: "Other",
  says: "what this run will take, before it is started",
  fields: { json: option(Schema.Boolean, false, "one JSON object") }
}

const GENERAL_HELP = `plumb plan ${TARGET_USAGE}

What a run will take: steps, time, memory, disk. Takes the options of the run and writes nothing.

Of an algorithm that reads all it learns from, all that is computed from the model's numbers and the lengths of the data.
One that writes responses of its own (ppo, grpo, online-dpo …), and a recipe, of which its first stage, makes its first steps in
memory, and the others are taken to be like them.

plumb plan sft --help, plumb plan run RECIPE.ts --help list the options.`
