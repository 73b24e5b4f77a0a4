import type { Database } from "better-sqlite3"
import type { CheckpointRecord, MetricRow, Sample, SampleRow } from "./records.ts"

/** Table `metrics`: what a run measured. A name written twice at a step keeps its last value. */
export const metricsTable = (db: Database) => {
  const insert = db.prepare(`
    INSERT INTO metrics (run, step, name, value) VALUES (?, ?, ?, ?)
    ON CONFLICT (run, step, name) DO UPDATE SET value = excluded.value
  `)
  const select = db.prepare<[number, string | null, string | null], { step: number; name: string; value: number }>(`
    SELECT step, name, value FROM metrics
    WHERE run = ? AND (? IS NULL OR name IN (SELECT value FROM json_each(?)))
    ORDER BY step, name
  `)
  return {
    append: (run: number, step: number, metrics: Readonly<Record<string, number>>) => {
      for (const [name, value] of Object.entries(metrics)) insert.run(run, step, name, value)
    },
    /** Rows by ascending step; a step without any of the names is absent. */
    rows: (run: number, names: ReadonlyArray<string> | undefined): ReadonlyArray<MetricRow> => {
      const wanted = names === undefined ? null : JSON.stringify(names)
      const byStep = new Map<number, Record<string, number>>()
      for (const { step, name, value } of select.all(run, wanted, wanted)) {
        const metrics = byStep.get(step) ?? {}
        metrics[name] = value
        byStep.set(step, metrics)
      }
      return Array.from(byStep, ([step, metrics]) => ({ step, metrics }))
    }
  }
}

interface SampleColumns extends Omit<SampleRow, "extra"> {
  readonly extra: string | null
}

/** Table `samples`: texts a run produced, in the order they were written. */
export const samplesTable = (db: Database) => {
  const insert = db.prepare("INSERT INTO samples (run, step, label, prompt, response, extra) VALUES (?, ?, ?, ?, ?, ?)")
  const select = db.prepare<[number, number | null, number | null], SampleColumns>(`
    SELECT step, label, prompt, response, extra FROM samples
    WHERE run = ? AND (? IS NULL OR step = ?) ORDER BY step, sample
  `)
  return {
    append: (run: number, step: number, samples: ReadonlyArray<Sample>) => {
      for (const { label, prompt, response, extra } of samples) {
        insert.run(run, step, label, prompt, response, extra === undefined ? null : JSON.stringify(extra))
      }
    },
    rows: (run: number, step: number | undefined): ReadonlyArray<SampleRow> =>
      select
        .all(run, step ?? null, step ?? null)
        .map(({ extra, ...row }) =>
          extra === null ? row : { ...row, extra: JSON.parse(extra) as Record<string, number | string> }
        )
  }
}

interface CheckpointColumns {
  readonly step: number
  readonly folder: string
  readonly metric_name: string | null
  readonly metric_value: number | null
}

const checkpointFrom = ({ step, folder, metric_name, metric_value }: CheckpointColumns): CheckpointRecord =>
  metric_name === null || metric_value === null
    ? { step, folder }
    : { step, folder, metric: { name: metric_name, value: metric_value } }

/** Table `checkpoints`: the checkpoint folders that exist, by step. */
export const checkpointsTable = (db: Database) => {
  const upsert = db.prepare(`
    INSERT INTO checkpoints (run, step, folder, metric_name, metric_value) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (run, step) DO UPDATE
    SET folder = excluded.folder, metric_name = excluded.metric_name, metric_value = excluded.metric_value
  `)
  const remove = db.prepare("DELETE FROM checkpoints WHERE run = ? AND step = ?")
  const select = db.prepare<[number], CheckpointColumns>(
    "SELECT step, folder, metric_name, metric_value FROM checkpoints WHERE run = ? ORDER BY step"
  )
  return {
    record: (run: number, { step, folder, metric }: CheckpointRecord) => {
      upsert.run(run, step, folder, metric?.name ?? null, metric?.value ?? null)
    },
    remove: (run: number, step: number) => {
      remove.run(run, step)
    },
    rows: (run: number): ReadonlyArray<CheckpointRecord> => select.all(run).map(checkpointFrom)
  }
}

/** Drops everything a run wrote after a step. */
export const truncation = (db: Database) => {
  const deletions = ["metrics", "samples", "checkpoints"].map((table) =>
    db.prepare(`DELETE FROM ${table} WHERE run = ? AND step > ?`)
  )
  return (run: number, afterStep: number) => {
    for (const deletion of deletions) deletion.run(run, afterStep)
  }
}
