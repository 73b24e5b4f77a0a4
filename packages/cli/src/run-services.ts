import { ModelRuntime, Processes, whileTogether } from "@plumbline/runtime"
import { RunStore } from "@plumbline/store"
import {
  fromFirst,
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
import { joined, placeAmongProcesses, sharedFields, type Sharing } from "./processes.ts"
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
  ...machineFields,
  ...sharedFields
} as const

/** Where a run goes and what computes it. */
export interface RunSettings extends MachineOptions, Sharing {
  readonly output: string
  readonly store?: string | undefined
  readonly processes: number
}

export interface RunStart {
  readonly settings: RunSettings
  readonly invocation: Invocation
  /** Go on with what is in the output folder. */
  readonly resume: boolean
  /** What is told to come of a signal, where it is no checkpoint after the step. */
  readonly stopping?: string
}

/** Runs a recipe or an algorithm with everything it may use. */
export const withRunServices =
  ({ invocation, resume, settings, stopping = "stopping after this step, with a checkpoint" }: RunStart) =>
  <A, E>(effect: Effect.Effect<A, E, RecipeServices>) =>
    Effect.gen(function* () {
      const { output } = settings
      const place = yield* placeAmongProcesses()
      const store = settings.store ?? storeBeside(output)
      const check = checkOutput(output, store, resume)
      // one process finds out before it loads anything; of several the first can only tell the others once they have met
      if (place === undefined) yield* check
      return yield* Effect.gen(function* () {
        // run.json names the backend itself: a run goes on with the one it was started on
        const options = { ...invocation.options, backend: (yield* ModelRuntime).backend }
        const processes = yield* joined(place, settings)
        const services = Layer.mergeAll(
          RunContext.layer({ output, resume, invocation: { ...invocation, options } }),
          // the others have a store of their own, so that every process finds what its stages were
          processes.rank === 0 ? storeLayer(store) : RunStore.layerSqlite(":memory:"),
          stopSignals(stopping).pipe(Layer.provideMerge(processes.rank === 0 ? Progress.layer : Progress.layerSilent))
        )
        const checked = place === undefined ? effect : whileTogether(Effect.andThen(fromFirst(check), effect))
        return yield* checked.pipe(Effect.provide(services), Effect.provideService(Processes, processes))
      }).pipe(Effect.scoped, onMachine(settings), Effect.mapError(interrupted(output)))
    })

const checkOutput = Effect.fnUntraced(function* (output: string, store: string, resume: boolean) {
  yield* checkWritable(output)
  yield* checkWritable(dirname(store))
  // The run itself would find out as well, but only after the model is loaded.
  const existing = resume ? undefined : runIn(output)
  if (existing !== undefined) return yield* new RunExists({ folder: existing })
})
