import type { Database } from "better-sqlite3"
import type { RunFailure, RunRecord, RunRegistration, RunStatus } from "./records.ts"

interface RunColumns {
  readonly id: string
  readonly name: string
  readonly algorithm: string
  readonly folder: string
  readonly config: string
  readonly status: RunStatus
  readonly started_at: string
  readonly ended_at: string | null
  readonly error: string | null
  readonly last_step: number | null
  readonly last_loss: number | null
}

const SELECT_RUNS = `
  SELECT runs.*, loss.value AS last_loss
  FROM (SELECT *, (SELECT max(step) FROM metrics WHERE metrics.run = runs.run) AS last_step FROM runs) AS runs
  LEFT JOIN metrics AS loss ON loss.run = runs.run AND loss.step = runs.last_step AND loss.name = 'loss'
`

const fromColumns = (columns: RunColumns): RunRecord => ({
  id: columns.id,
  name: columns.name,
  algorithm: columns.algorithm,
  folder: columns.folder,
  config: JSON.parse(columns.config) as unknown,
  startedAt: columns.started_at,
  status: columns.status,
  endedAt: columns.ended_at,
  error: columns.error === null ? null : (JSON.parse(columns.error) as RunFailure),
  lastStep: columns.last_step,
  lastLoss: columns.last_loss
})

/** Table `runs`. Synchronous; other tables refer to a run by the integer that `key` gives. */
export const runsTable = (db: Database) => {
  const upsert = db.prepare(`
    INSERT INTO runs (id, name, algorithm, folder, config, started_at)
    VALUES (:id, :name, :algorithm, :folder, :config, :startedAt)
    ON CONFLICT (id) DO UPDATE SET name = :name, algorithm = :algorithm, folder = :folder, config = :config,
      status = 'running', ended_at = NULL, error = NULL
  `)
  const removeOther = db.prepare("DELETE FROM runs WHERE id = ? AND started_at <> ?")
  const finish = db.prepare("UPDATE runs SET status = ?, ended_at = ?, error = ? WHERE run = ?")
  const key = db.prepare<[string], number>("SELECT run FROM runs WHERE id = ?").pluck()
  const names = db.prepare<[], string>("SELECT name FROM runs ORDER BY run DESC").pluck()
  const all = db.prepare<[], RunColumns>(`${SELECT_RUNS} ORDER BY runs.run DESC`)
  const find = db.prepare<[string, string, string], RunColumns>(`
    ${SELECT_RUNS} WHERE runs.id = ? OR runs.folder = ? OR runs.name = ? ORDER BY runs.run DESC
  `)
  return {
    register: (run: RunRegistration) => {
      // another start in the same folder: the run that was there is gone
      removeOther.run(run.id, run.startedAt)
      upsert.run({ ...run, config: JSON.stringify(run.config) ?? "null" })
    },
    finish: (run: number, status: RunStatus, endedAt: string, error: RunFailure | undefined) => {
      finish.run(status, endedAt, error === undefined ? null : JSON.stringify(error), run)
    },
    key: (id: string) => key.get(id),
    names: () => names.all(),
    all: () => all.all().map(fromColumns),
    /** By id or folder first; of several runs with that name, the newest. */
    find: (name: string, folder: string): RunRecord | undefined => {
      const matches = find.all(folder, folder, name).map(fromColumns)
      return matches.find((run) => run.id === folder || run.folder === folder) ?? matches[0]
    }
  }
}
