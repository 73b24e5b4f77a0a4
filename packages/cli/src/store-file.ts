import { makeFolder } from "@plumbline/training"
import { RunStore, type RunStoreShape, StoreUnavailable } from "@plumbline/store"
import { Context, Effect, Layer } from "effect"
import { existsSync } from "node:fs"
import { dirname, join, resolve } from "node:path"

export const STORE_FILE = "plumbline.db"

/** Where a run in `output` is recorded unless --store says otherwise. */
export const storeBeside = (output: string): string => join(dirname(resolve(output)), STORE_FILE)

/**
 * The store of a run. One that exists is opened at once, a new one is made when the run first writes to it: a run that
 * fails before it starts leaves no file behind.
 */
export const storeLayer = (file: string) => (existsSync(file) ? RunStore.layerSqlite(file) : newStore(resolve(file)))

const newStore = (file: string): Layer.Layer<RunStore> =>
  Layer.effect(
    RunStore,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const made = Effect.andThen(makeStoreFolder(file), Layer.buildWithScope(RunStore.layerSqlite(file), scope)).pipe(
        // Only a file of another version can be too new, and this one did not exist.
        Effect.catchTag("StoreTooNew", Effect.die),
        Effect.map((context) => Context.get(context, RunStore))
      )
      return openedLater(file, yield* Effect.cached(made))
    })
  )

const makeStoreFolder = (file: string) =>
  Effect.try({
    try: () => makeFolder(dirname(file)),
    catch: (cause) => new StoreUnavailable({ file, reason: cause instanceof Error ? cause.message : String(cause) })
  })

const openedLater = (file: string, store: Effect.Effect<RunStoreShape, StoreUnavailable>): RunStoreShape => ({
  file,
  register: (run) => Effect.flatMap(store, ({ register }) => register(run)),
  finish: (id, status, error) => Effect.flatMap(store, ({ finish }) => finish(id, status, error)),
  runs: () => Effect.flatMap(store, ({ runs }) => runs()),
  find: (name) => Effect.flatMap(store, ({ find }) => find(name)),
  appendMetrics: (id, step, values) => Effect.flatMap(store, ({ appendMetrics }) => appendMetrics(id, step, values)),
  metrics: (id, names) => Effect.flatMap(store, ({ metrics }) => metrics(id, names)),
  truncateMetrics: (id, after) => Effect.flatMap(store, ({ truncateMetrics }) => truncateMetrics(id, after)),
  appendSamples: (id, step, rows) => Effect.flatMap(store, ({ appendSamples }) => appendSamples(id, step, rows)),
  samples: (id, step) => Effect.flatMap(store, ({ samples }) => samples(id, step)),
  saveRollouts: (id, rows, anew) => Effect.flatMap(store, ({ saveRollouts }) => saveRollouts(id, rows, anew)),
  rollouts: (id, query) => Effect.flatMap(store, ({ rollouts }) => rollouts(id, query)),
  pruneRollouts: (id, before) => Effect.flatMap(store, ({ pruneRollouts }) => pruneRollouts(id, before)),
  recordCheckpoint: (id, made) => Effect.flatMap(store, ({ recordCheckpoint }) => recordCheckpoint(id, made)),
  removeCheckpoint: (id, step) => Effect.flatMap(store, ({ removeCheckpoint }) => removeCheckpoint(id, step)),
  checkpoints: (id) => Effect.flatMap(store, ({ checkpoints }) => checkpoints(id)),
  logProbs: (model, keys) => Effect.flatMap(store, ({ logProbs }) => logProbs(model, keys)),
  saveLogProbs: (model, entries) => Effect.flatMap(store, ({ saveLogProbs }) => saveLogProbs(model, entries))
})
