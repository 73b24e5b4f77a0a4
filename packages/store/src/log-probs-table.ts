import type { Database } from "better-sqlite3"

/** Tables `models` and `log_probs`: the sequence log-probs of frozen weights, so that they are computed once. */
export const logProbsTable = (db: Database) => {
  const addModel = db.prepare("INSERT INTO models (digest) VALUES (?) ON CONFLICT DO NOTHING")
  const modelKey = db.prepare<[string], number>("SELECT model FROM models WHERE digest = ?").pluck()
  const insert = db.prepare(`
    INSERT INTO log_probs (model, sequence, value) VALUES (?, ?, ?)
    ON CONFLICT (model, sequence) DO UPDATE SET value = excluded.value
  `)
  const select = db
    .prepare<[string, string], [sequence: string, value: number]>(
      `SELECT sequence, value FROM log_probs JOIN models USING (model)
       WHERE digest = ? AND sequence IN (SELECT value FROM json_each(?))`
    )
    .raw()
  return {
    save: (digest: string, entries: ReadonlyMap<string, number>) => {
      addModel.run(digest)
      const model = modelKey.get(digest)!
      for (const [sequence, value] of entries) insert.run(model, sequence, value)
    },
    /** Those of the sequences that are stored, in the order asked. */
    find: (digest: string, sequences: ReadonlyArray<string>): Map<string, number> => {
      const stored = new Map(select.all(digest, JSON.stringify(sequences)))
      return new Map(sequences.flatMap((key) => (stored.has(key) ? [[key, stored.get(key)!]] : [])))
    }
  }
}
