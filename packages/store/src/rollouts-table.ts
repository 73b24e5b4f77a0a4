import type { Database } from "better-sqlite3"
import type { RolloutQuery, RolloutRecord } from "./records.ts"

type Key = Exclude<keyof RolloutRecord, "rollout" | "row">
type Stored = string | number | Buffer | null

interface Column {
  readonly name: string
  readonly store: (value: never) => Stored
  readonly read: (stored: never) => unknown
}

const plain = (name: string): Column => ({ name, store: (value) => value, read: (stored) => stored })
const json = (name: string): Column => ({
  name,
  store: (value) => JSON.stringify(value),
  read: (stored: string) => JSON.parse(stored) as unknown
})
const bytes = (value: Int32Array | Float32Array): Buffer =>
  Buffer.from(value.buffer, value.byteOffset, value.byteLength)
/** A copy of its own, aligned. */
const own = (stored: Buffer): ArrayBuffer => new Uint8Array(stored).buffer
const int32 = (name: string): Column => ({ name, store: bytes, read: (stored: Buffer) => new Int32Array(own(stored)) })
const float32 = (name: string): Column => ({
  name,
  store: bytes,
  read: (stored: Buffer) => new Float32Array(own(stored))
})

const columns: Readonly<Record<Key, Column>> = {
  step: plain("step"),
  promptNumber: plain("prompt_number"),
  sample: plain("sample"),
  origin: plain("origin"),
  seed: plain("seed"),
  prompt: plain("prompt"),
  response: plain("response"),
  ended: { name: "ended", store: (value: boolean) => Number(value), read: (stored: number) => stored === 1 },
  reward: plain("reward"),
  rewardParts: json("reward_parts"),
  greedyReward: plain("greedy_reward"),
  advantage: plain("advantage"),
  masked: plain("masked"),
  promptIds: int32("prompt_ids"),
  responseIds: int32("response_ids"),
  policyVersions: int32("policy_versions"),
  samplingLogProbs: float32("sampling_log_probs"),
  oldLogProbs: float32("old_log_probs"),
  referenceLogProbs: float32("reference_log_probs"),
  currentLogProbs: float32("current_log_probs"),
  criticValues: float32("critic_values"),
  criticReturns: float32("critic_returns"),
  advantages: float32("advantages"),
  ratios: float32("ratios"),
  clipped: float32("clipped"),
  counted: int32("counted")
}
const entries = Object.entries(columns) as ReadonlyArray<readonly [Key, Column]>
const names = entries.map(([, { name }]) => name)

/** Table `rollouts`. A record that comes again adds what it knows to what is there; the first of a row replaces it. */
export const rolloutsTable = (db: Database) => {
  const upsert = db.prepare(`
    INSERT INTO rollouts (run, rollout, row, ${names.join(", ")})
    VALUES (?, ?, ?, ${names.map(() => "?").join(", ")})
    ON CONFLICT (run, rollout, row) DO UPDATE SET
    ${names.map((name) => `${name} = coalesce(excluded.${name}, ${name})`).join(", ")}
  `)
  const remove = db.prepare("DELETE FROM rollouts WHERE run = ? AND rollout = ? AND row = ?")
  const prune = db.prepare("DELETE FROM rollouts WHERE run = ? AND rollout < ?")
  const select = db.prepare<Array<number | null>, Readonly<Record<string, Stored>>>(`
    SELECT * FROM rollouts WHERE run = ? AND (? IS NULL OR rollout = ?) AND (? IS NULL OR step = ?)
    AND (? IS NULL OR row = ?) ORDER BY rollout, row
  `)
  return {
    save: (run: number, records: ReadonlyArray<RolloutRecord>, replacing: boolean) => {
      for (const record of records) {
        if (replacing) remove.run(run, record.rollout, record.row)
        const values = entries.map(([key, { store }]) =>
          record[key] === undefined ? null : store(record[key] as never)
        )
        upsert.run(run, record.rollout, record.row, ...values)
      }
    },
    prune: (run: number, before: number) => void prune.run(run, before),
    rows: (
      run: number,
      { rollout = null, row = null, step = null }: Nullable<RolloutQuery>
    ): ReadonlyArray<RolloutRecord> => select.all(run, rollout, rollout, step, step, row, row).map(recordOf)
  }
}

type Nullable<T> = { readonly [K in keyof T]: T[K] | null }

const recordOf = (stored: Readonly<Record<string, Stored>>): RolloutRecord => ({
  rollout: stored["rollout"] as number,
  row: stored["row"] as number,
  ...Object.fromEntries(
    entries.flatMap(([key, { name, read }]) =>
      stored[name] === null ? [] : [[key, read(stored[name] as never)] as const]
    )
  )
})
