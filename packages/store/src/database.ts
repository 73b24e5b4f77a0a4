import Sqlite, { type Database } from "better-sqlite3"
import { Effect, type Scope } from "effect"
import { existsSync } from "node:fs"
import { dirname } from "node:path"
import { type StoreError, StoreTooNew, StoreUnavailable } from "./errors.ts"
import { migrate, migrations, schemaVersion } from "./migrations.ts"

/** How long a statement waits for another process's write lock, in milliseconds. */
const BUSY_TIMEOUT_MS = 10_000

/** What the store holds of a run that can go on is in its folder, too: metrics, checkpoints. */
const ANEW = "run folders have their metrics too: move it away, or name another with --store, and a new one is made"

/** What SQLite's primary result codes mean to the person who has to act; other codes show SQLite's own words. */
const REASONS: Readonly<Record<string, string>> = {
  SQLITE_BUSY: "another process holds its lock",
  SQLITE_CANTOPEN: "cannot be opened or created: check that its folder exists and may be written",
  SQLITE_CORRUPT: `the file is damaged; ${ANEW}`,
  SQLITE_FULL: "the disk is full",
  SQLITE_IOERR: "reading or writing failed (disk full, or a file system without locks or shared memory?)",
  SQLITE_NOTADB: `the file is not a SQLite database; ${ANEW}`,
  SQLITE_PERM: "access denied",
  SQLITE_READONLY: "the file or its folder is read-only"
}

/** `SQLITE_IOERR_WRITE` → `SQLITE_IOERR` */
const primaryCode = (code: string) => code.split("_").slice(0, 2).join("_")

const reasonOf = (error: InstanceType<typeof Sqlite.SqliteError>) => {
  const known = REASONS[primaryCode(error.code)]
  return known === undefined ? `${error.message} (${error.code})` : `${known} (${error.code})`
}

/**
 * Runs synchronous SQLite work. What the machine can do to us becomes `StoreUnavailable`; a broken constraint or a
 * wrong argument is a fault of the caller's code and stays a defect.
 */
export const attempt = <A>(file: string, body: () => A): Effect.Effect<A, StoreUnavailable> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (error) {
      const expected = error instanceof Sqlite.SqliteError && primaryCode(error.code) !== "SQLITE_CONSTRAINT"
      return expected ? Effect.fail(new StoreUnavailable({ file, reason: reasonOf(error) })) : Effect.die(error)
    }
  })

const connect = Effect.fnUntraced(function* (file: string, busyTimeout: number) {
  const folder = dirname(file)
  if (!existsSync(folder)) return yield* new StoreUnavailable({ file, reason: `its folder ${folder} does not exist` })
  return yield* attempt(file, () => new Sqlite(file, { timeout: busyTimeout }))
})

const isBusy = (error: unknown) => error instanceof Sqlite.SqliteError && primaryCode(error.code) === "SQLITE_BUSY"

/**
 * Switches to write-ahead logging. SQLite does not apply its busy timeout where two connections switch a new file at
 * the same time, so the wait is here; like SQLite's own it blocks.
 */
const useWriteAheadLog = (db: Database, busyTimeout: number) => {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; ; waited += 5) {
    try {
      return db.pragma("journal_mode = WAL")
    } catch (error) {
      if (!isBusy(error) || waited >= busyTimeout) throw error
      Atomics.wait(pause, 0, 0, 5)
    }
  }
}

const configure = (db: Database, busyTimeout: number) => {
  useWriteAheadLog(db, busyTimeout)
  // A killed process loses nothing that was committed; a power cut may lose the last commits, never the file.
  db.pragma("synchronous = NORMAL")
  db.pragma("foreign_keys = ON")
}

/** Opens and migrates a database file (`:memory:` for a private one) and closes it with the scope. */
export const openDatabase = Effect.fn("openDatabase")(function* (
  file: string,
  busyTimeout: number = BUSY_TIMEOUT_MS
): Effect.fn.Return<Database, StoreError, Scope.Scope> {
  const db = yield* Effect.acquireRelease(connect(file, busyTimeout), (open) => Effect.sync(() => open.close()))
  // Before anything is written: a newer database stays as it was.
  const version = yield* attempt(file, () => schemaVersion(db))
  if (version > migrations.length) return yield* new StoreTooNew({ file, version, supported: migrations.length })
  yield* attempt(file, () => {
    configure(db, busyTimeout)
    migrate(db)
  })
  return db
})
