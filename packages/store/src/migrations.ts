import type { Database } from "better-sqlite3"

/**
 * The schema, as numbered steps. `user_version` of a database is the number of steps it has taken.
 * Forward only: never edit a step that was released, append one.
 *
 * | table         | one row is                                         | key                  |
 * |---------------|----------------------------------------------------|----------------------|
 * | `runs`        | a run; `id` is its absolute folder                 | `run` (integer)      |
 * | `metrics`     | one number of one step                             | `run, step, name`    |
 * | `samples`     | a prompt and a response seen at a step             | `sample`, in order   |
 * | `checkpoints` | a checkpoint folder that exists                    | `run, step`          |
 * | `models`      | a set of weights, by digest                        | `model` (integer)    |
 * | `rollouts`    | a response that was, or is to be, learnt from      | `run, rollout, row`  |
 * | `log_probs`   | log π(sequence) in nats under those weights        | `model, sequence`    |
 *
 * Blobs of `rollouts` are float32 or int32, little-endian, one number a token of the response (`prompt_ids`: of the prompt).
 * Times are ISO 8601 text in UTC; `config`, `error` and `extra` are JSON. A curve in plain SQL:
 *
 *   SELECT step, value FROM metrics JOIN runs USING (run) WHERE runs.name = 'dpo-gsm8k' AND metrics.name = 'loss'
 */
export const migrations: ReadonlyArray<string> = [
  `
  CREATE TABLE runs (
    run        INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    algorithm  TEXT NOT NULL,
    folder     TEXT NOT NULL,
    config     TEXT NOT NULL,
    status     TEXT NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'finished', 'stopped', 'failed')),
    started_at TEXT NOT NULL,
    ended_at   TEXT,
    error      TEXT
  ) STRICT;
  CREATE INDEX runs_by_name ON runs (name);

  CREATE TABLE metrics (
    run   INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    step  INTEGER NOT NULL,
    name  TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (run, step, name)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE samples (
    sample   INTEGER PRIMARY KEY,
    run      INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    step     INTEGER NOT NULL,
    label    TEXT NOT NULL,
    prompt   TEXT NOT NULL,
    response TEXT NOT NULL,
    extra    TEXT
  ) STRICT;
  CREATE INDEX samples_by_step ON samples (run, step);

  CREATE TABLE checkpoints (
    run          INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    step         INTEGER NOT NULL,
    folder       TEXT NOT NULL,
    metric_name  TEXT,
    metric_value REAL,
    PRIMARY KEY (run, step)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE models (
    model  INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE
  ) STRICT;

  CREATE TABLE log_probs (
    model    INTEGER NOT NULL REFERENCES models ON DELETE CASCADE,
    sequence TEXT NOT NULL,
    value    REAL NOT NULL,
    PRIMARY KEY (model, sequence)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE rollouts (
    run                 INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    rollout             INTEGER NOT NULL,
    row                 INTEGER NOT NULL,
    step                INTEGER,
    prompt_number       INTEGER,
    sample              INTEGER,
    origin              TEXT,
    seed                INTEGER,
    prompt              TEXT,
    response            TEXT,
    ended               INTEGER,
    reward              REAL,
    reward_parts        TEXT,
    greedy_reward       REAL,
    advantage           REAL,
    masked              TEXT,
    prompt_ids          BLOB,
    response_ids        BLOB,
    policy_versions     BLOB,
    sampling_log_probs  BLOB,
    old_log_probs       BLOB,
    reference_log_probs BLOB,
    current_log_probs   BLOB,
    critic_values       BLOB,
    critic_returns      BLOB,
    advantages          BLOB,
    ratios              BLOB,
    clipped             BLOB,
    counted             BLOB,
    PRIMARY KEY (run, rollout, row)
  ) STRICT, WITHOUT ROWID;
  `
]

/** Number of steps the database has taken; 0 for an empty one. */
export const schemaVersion = (db: Database) => db.pragma("user_version", { simple: true }) as number

/**
 * Takes the steps the database has not taken, in one transaction. Safe with several processes at once: the version is
 * read again under the write lock. A database already at or past the last step is left alone.
 */
export const migrate = (db: Database) => {
  if (schemaVersion(db) >= migrations.length) return
  db.transaction(() => {
    for (const step of migrations.slice(schemaVersion(db))) db.exec(step)
    db.pragma(`user_version = ${Math.max(migrations.length, schemaVersion(db))}`)
  }).immediate()
}
