import { assert, describe, it } from "@effect/vitest"
import Sqlite from "better-sqlite3"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { attempt, openDatabase } from "./database.ts"
import { StoreTooNew, StoreUnavailable } from "./errors.ts"
import { migrate, migrations, schemaVersion } from "./migrations.ts"

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-store-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const failure = Effect.fnUntraced(function* (file: string, busyTimeout?: number) {
  return yield* Effect.flip(Effect.scoped(openDatabase(file, busyTimeout)))
})

describe("openDatabase", () => {
  it.effect("migrates an empty file, sets WAL and foreign keys, closes with the scope", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plumbline.db")
      const closed = yield* Effect.scoped(
        Effect.gen(function* () {
          const db = yield* openDatabase(file)
          assert.strictEqual(schemaVersion(db), migrations.length)
          assert.strictEqual(db.pragma("journal_mode", { simple: true }), "wal")
          assert.strictEqual(db.pragma("foreign_keys", { simple: true }), 1)
          assert.strictEqual(db.pragma("busy_timeout", { simple: true }), 10_000)
          return db
        })
      )
      assert.isFalse(closed.open)
    })
  )

  it.effect("names a folder that does not exist", () =>
    Effect.gen(function* () {
      const folder = join(yield* temporaryFolder, "absent")
      const error = yield* failure(join(folder, "plumbline.db"))
      assert.instanceOf(error, StoreUnavailable)
      assert.include(error.message, `its folder ${folder} does not exist`)
    })
  )

  it.effect.skipIf(!existsSync("/proc/self"))("says so when the folder cannot be written", () =>
    Effect.gen(function* () {
      // Nobody, not even root, can create a file in /proc.
      const error = yield* failure("/proc/plumbline.db")
      assert.instanceOf(error, StoreUnavailable)
      assert.match(error.message, /^run store \/proc\/plumbline\.db: cannot be opened or created/)
    })
  )

  it.effect("refuses a file that is not a database and leaves it as it was", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "notes.txt")
      const text = "not a database at all. ".repeat(100)
      writeFileSync(file, text)
      const error = yield* failure(file)
      assert.instanceOf(error, StoreUnavailable)
      assert.include(error.message, "the file is not a SQLite database")
      assert.strictEqual(readFileSync(file, "utf8"), text)
    })
  )

  it.effect("reports damage inside a database", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plumbline.db")
      yield* Effect.scoped(openDatabase(file))
      const bytes = readFileSync(file)
      bytes.fill(0xa5, 100) // the header survives, the pages do not
      writeFileSync(file, bytes)
      const reading = Effect.gen(function* () {
        const db = yield* openDatabase(file)
        return yield* attempt(file, () => db.prepare("SELECT * FROM runs").all())
      })
      const error = yield* Effect.flip(Effect.scoped(reading))
      assert.instanceOf(error, StoreUnavailable)
      assert.include(error.message, "the file is damaged")
    })
  )

  it.effect("refuses a database newer than the code and leaves it as it was", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plumbline.db")
      const version = migrations.length + 1
      new Sqlite(file).exec(`PRAGMA user_version = ${version}`).close()
      const before = readFileSync(file)
      const error = yield* failure(file)
      assert.instanceOf(error, StoreTooNew)
      assert.deepInclude({ ...error }, { file, version, supported: migrations.length })
      assert.isTrue(readFileSync(file).equals(before))
    })
  )

  it.effect("says who is in the way when the database stays locked", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plumbline.db")
      const other = new Sqlite(file)
      other.exec("BEGIN EXCLUSIVE")
      const error = yield* failure(file, 50)
      other.close()
      assert.instanceOf(error, StoreUnavailable)
      assert.include(error.message, "another process holds its lock")
    })
  )

  it.effect("reports a full disk, and the transaction leaves nothing behind", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "plumbline.db")
      const db = yield* openDatabase(file)
      db.pragma(`max_page_count = ${db.pragma("page_count", { simple: true })}`) // SQLite's own stand-in for a full disk
      const insert = db.prepare("INSERT INTO models (digest) VALUES (?)")
      const fill = db.transaction(() => {
        for (let row = 0; row < 1000; row++) insert.run(`${row}`.padStart(1000))
      })
      const error = yield* Effect.flip(attempt(file, () => fill.immediate()))
      assert.include(error.message, "the disk is full")
      assert.strictEqual(db.prepare("SELECT count(*) FROM models").pluck().get(), 0)
    })
  )

  it.effect("keeps a broken constraint a defect", () =>
    Effect.gen(function* () {
      const db = yield* openDatabase(":memory:")
      const orphan = attempt(":memory:", () => db.exec("INSERT INTO metrics VALUES (99, 1, 'loss', 1)"))
      const defect = yield* Effect.catchDefect(orphan, (error) => Effect.succeed(error))
      assert.strictEqual((defect as { code: string }).code, "SQLITE_CONSTRAINT_FOREIGNKEY")
    })
  )
})

describe("migrate", () => {
  it("leaves a database from later code alone", () => {
    const db = new Sqlite(":memory:")
    db.pragma("user_version = 7")
    migrate(db)
    assert.strictEqual(schemaVersion(db), 7)
    assert.deepStrictEqual(db.prepare("SELECT name FROM sqlite_schema").all(), [])
  })

  it("undoes a step that fails half-way", () => {
    const db = new Sqlite(":memory:")
    db.exec("CREATE TABLE log_probs (mine TEXT)") // collides with the last table of step 1
    assert.throws(() => migrate(db), /table log_probs already exists/)
    assert.strictEqual(schemaVersion(db), 0)
    assert.deepStrictEqual(db.prepare("SELECT name FROM sqlite_schema").pluck().all(), ["log_probs"])
  })

  it("is safe in several processes at once", async () => {
    const folder = mkdtempSync(join(tmpdir(), "plumbline-store-"))
    try {
      const file = join(folder, "plumbline.db")
      const startAt = Date.now() + 1_500 // all of them are up by then and begin together
      const script = `
        import { Effect } from "effect"
        import { openDatabase } from ${JSON.stringify(new URL("./database.ts", import.meta.url).href)}
        await new Promise((go) => setTimeout(go, ${startAt} - Date.now()))
        await Effect.runPromise(Effect.scoped(openDatabase(${JSON.stringify(file)})))
      `
      const flags = ["--input-type=module", "--eval", script]
      await Promise.all(Array.from({ length: 4 }, () => promisify(execFile)(process.execPath, flags)))
      const db = new Sqlite(file)
      assert.strictEqual(schemaVersion(db), migrations.length)
      db.close()
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
