import { Clock, Context, Effect, Layer, type Scope } from "effect"
import { resolve } from "node:path"
import { attempt, openDatabase } from "./database.ts"
import { NotStorable, RunUnknown, type StoreError, type StoreUnavailable } from "./errors.ts"
import { logProbsTable } from "./log-probs-table.ts"
import { nearestNames } from "./nearest-names.ts"
import type {
  CheckpointRecord,
  MetricRow,
  RolloutQuery,
  RolloutRecord,
  RunFailure,
  RunRecord,
  RunRegistration,
  RunStatus,
  Sample,
  SampleRow
} from "./records.ts"
import { checkpointsTable, metricsTable, samplesTable, truncation } from "./run-tables.ts"
import { rolloutsTable } from "./rollouts-table.ts"
import { runsTable } from "./runs-table.ts"

type OfRun<A, E = never> = Effect.Effect<A, StoreUnavailable | RunUnknown | E>

/** Runs, what they measured and wrote, and cached log-probs. Every write is one transaction: all of it or nothing. */
export interface RunStoreShape {
  /** The database, or `:memory:`. */
  readonly file: string
  /** Adds the run. One with the same id and start is set running again (a resume) and its rows stay; one with another
   * start was replaced by this run, and its rows go. */
  readonly register: (run: RunRegistration) => Effect.Effect<void, StoreUnavailable>
  readonly finish: (id: string, status: Exclude<RunStatus, "running">, error?: RunFailure) => OfRun<void>
  /** Newest first. */
  readonly runs: () => Effect.Effect<ReadonlyArray<RunRecord>, StoreUnavailable>
  /** By run folder (absolute, or relative to the working directory) or by name; the newest of several. */
  readonly find: (nameOrFolder: string) => OfRun<RunRecord>
  readonly appendMetrics: (
    id: string,
    step: number,
    metrics: Readonly<Record<string, number>>
  ) => OfRun<void, NotStorable>
  /** By ascending step; with `names`, only those metrics and the steps that have one of them. */
  readonly metrics: (id: string, names?: ReadonlyArray<string>) => OfRun<ReadonlyArray<MetricRow>>
  /** Drops metrics, samples and checkpoints of the steps after `afterStep`: what a resumed run does again. */
  readonly truncateMetrics: (id: string, afterStep: number) => OfRun<void>
  readonly appendSamples: (id: string, step: number, samples: ReadonlyArray<Sample>) => OfRun<void, NotStorable>
  readonly samples: (id: string, step?: number) => OfRun<ReadonlyArray<SampleRow>>
  /** Adds what records know to those of the same row; `replacing` forgets what was known of them before. */
  readonly saveRollouts: (id: string, records: ReadonlyArray<RolloutRecord>, replacing?: boolean) => OfRun<void>
  readonly rollouts: (id: string, query?: RolloutQuery) => OfRun<ReadonlyArray<RolloutRecord>>
  /** Forgets the rollouts before this one. */
  readonly pruneRollouts: (id: string, before: number) => OfRun<void>
  readonly recordCheckpoint: (id: string, checkpoint: CheckpointRecord) => OfRun<void, NotStorable>
  readonly removeCheckpoint: (id: string, step: number) => OfRun<void>
  readonly checkpoints: (id: string) => OfRun<ReadonlyArray<CheckpointRecord>>
  /**
   * The stored log-probs (nats, float64 exact) among `keys`, in their order; absent ones are absent.
   * `model` is a digest of the weights, a key a digest of the token ids.
   */
  readonly logProbs: (
    model: string,
    keys: ReadonlyArray<string>
  ) => Effect.Effect<Map<string, number>, StoreUnavailable>
  readonly saveLogProbs: (
    model: string,
    entries: ReadonlyMap<string, number>
  ) => Effect.Effect<void, StoreUnavailable | NotStorable>
}

/** Fails on the first entry that is NaN or infinite: SQLite would keep NaN as null. */
const requireFinite = (entries: Iterable<readonly [string, unknown]>, what: (name: string) => string) => {
  for (const [name, value] of entries) {
    if (typeof value === "number" && !Number.isFinite(value)) {
      return Effect.fail(new NotStorable({ what: what(name), value }))
    }
  }
  return Effect.void
}

const make = Effect.fnUntraced(function* (file: string): Effect.fn.Return<RunStoreShape, StoreError, Scope.Scope> {
  const db = yield* openDatabase(file)
  const tables = yield* attempt(file, () => ({
    runs: runsTable(db),
    metrics: metricsTable(db),
    samples: samplesTable(db),
    checkpoints: checkpointsTable(db),
    logProbs: logProbsTable(db),
    rollouts: rolloutsTable(db),
    truncate: truncation(db)
  }))
  const { runs, metrics, samples, checkpoints, logProbs, rollouts, truncate } = tables

  const write = (body: () => void) => attempt(file, () => db.transaction(body).immediate())
  const unknown = Effect.fnUntraced(function* (run: string) {
    return yield* new RunUnknown({ run, known: nearestNames(run, yield* attempt(file, runs.names)) })
  })
  const key = Effect.fnUntraced(function* (id: string) {
    const run = yield* attempt(file, () => runs.key(id))
    return run === undefined ? yield* unknown(id) : run
  })
  const writeRun = (id: string, body: (run: number) => void) => Effect.flatMap(key(id), (run) => write(() => body(run)))
  const readRun = <A>(id: string, body: (run: number) => A) =>
    Effect.flatMap(key(id), (run) => attempt(file, () => body(run)))

  return {
    file,
    register: (run) => write(() => runs.register(run)),
    finish: Effect.fn("RunStore.finish")(function* (id, status, error) {
      const endedAt = new Date(yield* Clock.currentTimeMillis).toISOString()
      yield* writeRun(id, (run) => runs.finish(run, status, endedAt, error))
    }),
    runs: () => attempt(file, runs.all),
    find: Effect.fn("RunStore.find")(function* (nameOrFolder) {
      const run = yield* attempt(file, () => runs.find(nameOrFolder, resolve(nameOrFolder)))
      return run === undefined ? yield* unknown(nameOrFolder) : run
    }),
    appendMetrics: Effect.fn("RunStore.appendMetrics")(function* (id, step, values) {
      yield* requireFinite(Object.entries(values), (name) => `metric "${name}" of step ${step}`)
      yield* writeRun(id, (run) => metrics.append(run, step, values))
    }),
    metrics: (id, names) => readRun(id, (run) => metrics.rows(run, names)),
    truncateMetrics: (id, afterStep) => writeRun(id, (run) => truncate(run, afterStep)),
    appendSamples: Effect.fn("RunStore.appendSamples")(function* (id, step, rows) {
      const extras = rows.flatMap(({ extra }) => Object.entries(extra ?? {}))
      yield* requireFinite(extras, (name) => `"${name}" of a sample of step ${step}`)
      yield* writeRun(id, (run) => samples.append(run, step, rows))
    }),
    samples: (id, step) => readRun(id, (run) => samples.rows(run, step)),
    saveRollouts: (id, records, replacing = false) => writeRun(id, (run) => rollouts.save(run, records, replacing)),
    rollouts: (id, query = {}) => readRun(id, (run) => rollouts.rows(run, query)),
    pruneRollouts: (id, before) => writeRun(id, (run) => rollouts.prune(run, before)),
    recordCheckpoint: Effect.fn("RunStore.recordCheckpoint")(function* (id, checkpoint) {
      const { metric, step } = checkpoint
      yield* requireFinite(metric ? [[metric.name, metric.value]] : [], (n) => `"${n}" of checkpoint ${step}`)
      yield* writeRun(id, (run) => checkpoints.record(run, checkpoint))
    }),
    removeCheckpoint: (id, step) => writeRun(id, (run) => checkpoints.remove(run, step)),
    checkpoints: (id) => readRun(id, (run) => checkpoints.rows(run)),
    logProbs: (model, keys) => attempt(file, () => logProbs.find(model, keys)),
    saveLogProbs: Effect.fn("RunStore.saveLogProbs")(function* (model, entries) {
      yield* requireFinite(entries, (sequence) => `log-prob of sequence ${sequence}`)
      yield* write(() => logProbs.save(model, entries))
    })
  }
})

/** What runs leave behind, in one SQLite file that several processes may read and write at once. */
export class RunStore extends Context.Service<RunStore, RunStoreShape>()("@plumbline/store/RunStore") {
  /** Opens the file (its folder must exist), migrates it, closes it with the scope. */
  static readonly layerSqlite = (file: string): Layer.Layer<RunStore, StoreError> =>
    Layer.effect(RunStore, make(file === ":memory:" ? file : resolve(file)))

  /** A private database in memory. */
  static readonly layerTest: Layer.Layer<RunStore> = Layer.effect(RunStore, Effect.orDie(make(":memory:")))
}
