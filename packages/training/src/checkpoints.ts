import { openTensors, restoreWeights, saveModel, writeTensors } from "@plumbline/models"
import { Effect, Schema } from "effect"
import { readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import type { Trainable } from "./algorithm.ts"
import { CheckpointUnusable, OutputUnwritable } from "./errors.ts"
import type { Optimizer } from "./optimizer.ts"
import { makeFolder, reasonOf, syncFolder, writeFileAtomically, writing } from "./write-files.ts"

/** What goes on with a run beside weights and moments. Data order and random streams are functions of the step. */
export type LoopState = typeof LoopState.Type
const LoopState = Schema.Struct({
  step: Schema.Int,
  /** Tokens seen so far. */
  numTokens: Schema.Finite,
  /** Seconds trained so far, over all resumes. */
  seconds: Schema.Finite,
  best: Schema.optional(Schema.Struct({ step: Schema.Int, value: Schema.Finite })),
  /** The objective's. */
  memory: Schema.Record(Schema.String, Schema.Finite)
})

/** What `state.json` holds. */
const Stored = Schema.Struct({ ...LoopState.fields, optimizerSteps: Schema.Int })

export interface CheckpointContents {
  readonly models: Trainable
  readonly optimizer: Optimizer
  readonly state: LoopState
  /** Files that make each model's folder usable alone, such as the tokenizer's. */
  readonly extraFiles: Readonly<Record<string, Uint8Array | string>>
}

const STATE = "state.json"
const OPTIMIZER = "optimizer.safetensors"
const STEP_FOLDER = /^step-(\d+)$/

/** checkpoints/step-N of a run. */
export const checkpointFolder = (runFolder: string, step: number): string =>
  join(runFolder, "checkpoints", `step-${step}`)

/** Steps with a whole checkpoint, ascending. */
export const checkpointSteps = (runFolder: string): ReadonlyArray<number> => {
  const folder = join(runFolder, "checkpoints")
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return []
  const steps = readdirSync(folder).flatMap((name) => STEP_FOLDER.exec(name)?.[1] ?? [])
  return steps.map(Number).toSorted((a, b) => a - b)
}

/**
 * Writes checkpoints/step-N under a temporary name, syncs it and renames it: a checkpoint is whole or absent.
 *
 * @param attach writes what else belongs to it into the folder
 * @returns      its folder
 */
export const saveCheckpoint = Effect.fn("saveCheckpoint")(function* <E = never, R = never>(
  runFolder: string,
  contents: CheckpointContents,
  attach: (folder: string) => Effect.Effect<void, E, R> = () => Effect.void
) {
  const { step } = contents.state
  const folder = checkpointFolder(runFolder, step)
  const temporary = join(runFolder, "checkpoints", `.step-${step}.tmp`)
  yield* writeContents(temporary, contents).pipe(
    Effect.andThen(attach(temporary)),
    Effect.onError(() => Effect.sync(() => rmSync(temporary, { recursive: true, force: true })))
  )
  yield* writing(folder, () => {
    rmSync(folder, { recursive: true, force: true })
    renameSync(temporary, folder)
    syncFolder(join(runFolder, "checkpoints"))
  })
  return folder
})

const writeContents = Effect.fnUntraced(function* (folder: string, contents: CheckpointContents) {
  const { extraFiles, models, optimizer, state } = contents
  yield* writing(folder, () => {
    rmSync(folder, { recursive: true, force: true })
    makeFolder(folder)
  })
  for (const [role, model] of Object.entries(models)) {
    const { valuesOf } = optimizer.weights
    yield* saveModel(model, join(folder, role), { extraFiles, valuesOf }).pipe(unwritable(folder))
  }
  yield* writeTensors(join(folder, OPTIMIZER), optimizer.state()).pipe(unwritable(folder))
  yield* writeFileAtomically(join(folder, STATE), JSON.stringify({ ...state, optimizerSteps: optimizer.steps() }))
})

/** Puts a checkpoint's weights and moments into `models` and `optimizer`, bit for bit. */
export const restoreCheckpoint = Effect.fn("restoreCheckpoint")(function* (
  folder: string,
  models: Trainable,
  optimizer: Optimizer
) {
  const { optimizerSteps, ...state } = yield* readState(folder)
  for (const [role, model] of Object.entries(models)) {
    yield* restoreWeights(model, join(folder, role)).pipe(unusable(folder))
  }
  yield* openTensors(join(folder, OPTIMIZER)).pipe(
    Effect.flatMap((moments) => optimizer.restore(optimizerSteps, moments)),
    Effect.scoped,
    unusable(folder)
  )
  return state
})

const readState = (folder: string) => {
  const unusableState = (reason: string) => new CheckpointUnusable({ folder, reason: `${STATE}: ${reason}` })
  return Effect.try({
    try: () => JSON.parse(readFileSync(join(folder, STATE), "utf8")) as unknown,
    catch: (cause) => unusableState(reasonOf(cause))
  }).pipe(
    Effect.flatMap((value) =>
      Effect.mapError(Schema.decodeUnknownEffect(Stored)(value), ({ message }) => unusableState(message))
    ),
    Effect.filterOrFail(
      ({ step }) => checkpointFolder("", step) === join("checkpoints", basename(folder)),
      ({ step }) => unusableState(`it is that of step ${step}`)
    )
  )
}

/** Removes checkpoints beyond the newest `keep` and the best; @returns the steps removed. */
export const pruneCheckpoints = (
  runFolder: string,
  keep: number,
  best: number | undefined
): Effect.Effect<ReadonlyArray<number>, OutputUnwritable> =>
  writing(runFolder, () => {
    const removed = checkpointSteps(runFolder)
      .slice(0, -keep)
      .filter((step) => step !== best)
    for (const step of removed) rmSync(checkpointFolder(runFolder, step), { recursive: true, force: true })
    return removed
  })

const unusable =
  (folder: string) =>
  <A, E extends { readonly message: string }, R>(
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, CheckpointUnusable, R> =>
    Effect.mapError(effect, (cause) => new CheckpointUnusable({ folder, reason: cause.message }))

const unwritable =
  (path: string) =>
  <A, E extends { readonly message: string }, R>(
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, OutputUnwritable, R> =>
    Effect.mapError(effect, (cause) => new OutputUnwritable({ path, reason: cause.message }))
