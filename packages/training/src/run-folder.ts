import { Effect, Schema, type Scope } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { type OutputUnwritable, RunExists, type RunLocked, RunNotFound, RunRemains } from "./errors.ts"
import { lockRun } from "./run-lock.ts"
import { makeFolder, reasonOf, writeFileAtomically, writing } from "./write-files.ts"

/** What a run was started with: enough to continue it, and to know later what made its numbers. */
export const RunDescription = Schema.Struct({
  name: Schema.String,
  algorithm: Schema.String,
  startedAt: Schema.String,
  /** An `Invocation`. */
  invocation: Schema.Struct({ command: Schema.String, options: Schema.Record(Schema.String, Schema.Unknown) }),
  versions: Schema.Record(Schema.String, Schema.String),
  /** sha256 of each file the run reads, by path. */
  digests: Schema.Record(Schema.String, Schema.String)
})
export type RunDescription = typeof RunDescription.Type

export interface RunFolder {
  readonly folder: string
  readonly description: RunDescription
}

const DESCRIPTION = "run.json"

/** What only a run leaves. Without its run.json nobody knows of what run; the next one would go on from it. */
const REMAINS = ["checkpoints", "final", "metrics.jsonl"] as const

/** Starts a run in `folder`: makes it, locks it, writes run.json. The lock goes with the scope. */
export const createRunFolder = (
  folder: string,
  description: RunDescription
): Effect.Effect<RunFolder, RunExists | RunRemains | RunLocked | OutputUnwritable, Scope.Scope> =>
  Effect.gen(function* () {
    const absolute = resolve(folder)
    yield* writing(absolute, () => makeFolder(absolute))
    yield* lockRun(absolute)
    if (existsSync(join(absolute, DESCRIPTION))) return yield* new RunExists({ folder })
    const remains = REMAINS.filter((name) => existsSync(join(absolute, name)))
    if (remains.length > 0) return yield* new RunRemains({ folder, remains })
    yield* writeDescription(absolute, description)
    return { folder: absolute, description }
  })

/**
 * Opens a run that was started before, and locks it. Where it goes on with other options than it was started with, run.json
 * says so from here on; a finished run stays what it was.
 */
export const openRunFolder = (
  folder: string,
  invocation: RunDescription["invocation"]
): Effect.Effect<RunFolder, RunNotFound | RunLocked | OutputUnwritable, Scope.Scope> =>
  Effect.gen(function* () {
    const absolute = resolve(folder)
    const recorded = yield* readRunDescription(absolute)
    yield* lockRun(absolute)
    if (existsSync(join(absolute, "final")) || isDeepStrictEqual(recorded.invocation, invocation)) {
      return { folder: absolute, description: recorded }
    }
    const description = { ...recorded, invocation }
    yield* writeDescription(absolute, description)
    return { folder: absolute, description }
  })

const writeDescription = (folder: string, description: RunDescription) =>
  writeFileAtomically(join(folder, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`)

/** Whether a run was started in `folder`. */
export const isRunFolder = (folder: string): boolean => existsSync(join(folder, DESCRIPTION))

export const readRunDescription = (folder: string): Effect.Effect<RunDescription, RunNotFound> =>
  Effect.try({
    try: () => JSON.parse(readFileSync(join(folder, DESCRIPTION), "utf8")) as unknown,
    catch: (cause) =>
      new RunNotFound({
        folder,
        reason: isMissing(cause) ? "there is no run.json" : `run.json cannot be read: ${reasonOf(cause)}`
      })
  }).pipe(
    Effect.flatMap((value) =>
      Schema.decodeUnknownEffect(RunDescription)(value).pipe(
        Effect.mapError(
          ({ message }) => new RunNotFound({ folder, reason: `run.json does not describe a run: ${message}` })
        )
      )
    )
  )

const isMissing = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === "ENOENT"
