import { ModelRuntime } from "@plumbline/runtime"
import {
  type Invocation,
  needed,
  optional,
  Progress,
  type RecipeServices,
  RunContext,
  RunExists
} from "@plumbline/training"
import { Effect, Layer, Schema } from "effect"
import { dirname } from "node:path"
import { machineFields, type MachineOptions, onMachine } from "./backend.ts"
import { checkWritable } from "./check-writable.ts"
import { runIn } from "./find-run.ts"
import { interrupted } from "./run-interrupted.ts"
import { stopSignals } from "./stop-signals.ts"
import { storeBeside, storeLayer } from "./store-file.ts"

export const storeField = optional(
  Schema.NonEmptyString,
  "SQLite file that records the run (default: plumbline.db beside the output folder)"
)

/** Flags of every command that starts a run. */
export const runFlagFields = {
  output: needed(Schema.NonEmptyString, "new folder for the run: checkpoints, metrics and, in final/, the model"),
  store: storeField,
  ...machineFields
} as const

/** Where a run goes and what computes it. */
export interface RunSettings extends MachineOptions {
  readonly output: string
  readonly store?: string | undefined
}

export interface RunStart {
  readonly settings: RunSettings
  readonly invocation: Invocation
  /** Go on with what is in the output folder. */
  readonly resume: boolean
}

/** Runs a recipe or an algorithm with everything it may use. */
export const withRunServices =
  ({ invocation, resume, settings }: RunStart) =>
  <A, E>(effect: Effect.Effect<A, E, RecipeServices>) =>
    Effect.gen(function* () {
      const { output } = settings
      const store = settings.store ?? storeBeside(output)
      yield* checkWritable(output)
      yield* checkWritable(dirname(store))
      // The run itself would find out as well, but only after the model is loaded.
      const existing = resume ? undefined : runIn(output)
      if (existing !== undefined) return yield* new RunExists({ folder: existing })
      return yield* Effect.gen(function* () {
        // run.json names the backend itself: a run goes on with the one it was started on
        const options = { ...invocation.options, backend: (yield* ModelRuntime).backend }
        const services = Layer.mergeAll(
          RunContext.layer({ output, resume, invocation: { ...invocation, options } }),
          storeLayer(store),
          stopSignals.pipe(Layer.provideMerge(Progress.layer))
        )
        return yield* Effect.provide(effect, services)
      }).pipe(onMachine(settings), Effect.mapError(interrupted(output)))
    })
