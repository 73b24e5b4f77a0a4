import { Effect, type Scope } from "effect"
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import { OutputUnwritable, RunExists, RunLocked, RunNotFound } from "./errors.ts"
import type { Invocation } from "./run-context.ts"

/** What a run was started with: enough to continue it, and to know later what made its numbers. */
export interface RunDescription {
  readonly name: string
  readonly algorithm: string
  readonly startedAt: string
  readonly invocation: Invocation
  readonly versions: Readonly<Record<string, string>>
  /** sha256 of each file the run reads, by path. */
  readonly digests: Readonly<Record<string, string>>
}

export interface RunFolder {
  readonly folder: string
  readonly description: RunDescription
}

const DESCRIPTION = "run.json"
const LOCK = "run.lock"

/** Starts a run in `folder`: makes it, locks it, writes run.json. The lock goes with the scope. */
export const createRunFolder = (
  folder: string,
  description: RunDescription
): Effect.Effect<RunFolder, RunExists | RunLocked | OutputUnwritable, Scope.Scope> =>
  Effect.gen(function* () {
    const absolute = resolve(folder)
    yield* writing(absolute, () => makeFolder(absolute))
    yield* lock(absolute)
    if (existsSync(join(absolute, DESCRIPTION))) return yield* new RunExists({ folder })
    yield* writeFileAtomically(join(absolute, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`)
    return { folder: absolute, description }
  })

/** Opens a run that was started before, and locks it. */
export const openRunFolder = (
  folder: string
): Effect.Effect<RunFolder, RunNotFound | RunLocked | OutputUnwritable, Scope.Scope> =>
  Effect.gen(function* () {
    const absolute = resolve(folder)
    const description = yield* readRunDescription(absolute)
    yield* lock(absolute)
    return { folder: absolute, description }
  })

/** Whether a run was started in `folder`. */
export const isRunFolder = (folder: string): boolean => existsSync(join(folder, DESCRIPTION))

export const readRunDescription = (folder: string): Effect.Effect<RunDescription, RunNotFound> =>
  Effect.try({
    try: () => JSON.parse(readFileSync(join(folder, DESCRIPTION), "utf8")) as RunDescription,
    catch: (cause) =>
      new RunNotFound({
        folder,
        reason: isMissing(cause) ? "there is no run.json" : `run.json cannot be read: ${reasonOf(cause)}`
      })
  })

/** Writes through a temporary sibling, synced and renamed: the file is there whole or not at all. */
export const writeFileAtomically = (file: string, text: string): Effect.Effect<void, OutputUnwritable> =>
  writing(file, () => {
    const temporary = `${file}.tmp`
    const handle = openSync(temporary, "w")
    try {
      writeSync(handle, text)
      fsyncSync(handle)
    } finally {
      closeSync(handle)
    }
    renameSync(temporary, file)
    syncFolder(dirname(file))
  })

/** Makes a folder and those above it. Not mkdir's own recursion: it never returns where the system refuses, as in /proc. */
export const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (cause) {
    // another process made it first
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

/** Makes a rename in `folder` durable. */
export const syncFolder = (folder: string): void => {
  const handle = openSync(folder, "r")
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

export const writing = <A>(path: string, write: () => A): Effect.Effect<A, OutputUnwritable> =>
  Effect.try({ try: write, catch: (cause) => new OutputUnwritable({ path, reason: reasonOf(cause) }) })

const lock = (folder: string): Effect.Effect<void, RunLocked | OutputUnwritable, Scope.Scope> =>
  Effect.acquireRelease(takeLock(folder), () => Effect.sync(() => rmSync(join(folder, LOCK), { force: true })))

const takeLock = (folder: string): Effect.Effect<void, RunLocked | OutputUnwritable> =>
  Effect.suspend(() => {
    const file = join(folder, LOCK)
    const holder = readHolder(file)
    if (holder !== undefined && isAlive(holder)) return Effect.fail(new RunLocked({ folder, pid: holder.pid }))
    if (holder !== undefined) rmSync(file, { force: true })
    return Effect.flatMap(
      writing(file, () => createLock(file)),
      (created) => (created ? Effect.void : Effect.fail(new RunLocked({ folder, pid: readHolder(file)?.pid ?? 0 })))
    )
  })

/** A link is made whole or not at all: of two processes that start together, one gets it. */
const createLock = (file: string): boolean => {
  const own = `${file}.${process.pid}`
  writeFileSync(own, JSON.stringify({ pid: process.pid, started: processStart(process.pid) }))
  try {
    linkSync(own, file)
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false
    throw cause
  } finally {
    rmSync(own, { force: true })
  }
}

interface LockHolder {
  readonly pid: number
  readonly started: string | undefined
}

const readHolder = (file: string): LockHolder | undefined => {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as LockHolder
  } catch {
    return undefined
  }
}

const isAlive = ({ pid, started }: LockHolder): boolean => {
  try {
    process.kill(pid, 0)
  } catch (cause) {
    // EPERM: alive, and somebody else's
    if ((cause as NodeJS.ErrnoException).code !== "EPERM") return false
  }
  const now = processStart(pid)
  return started === undefined || now === undefined || now === started
}

/** Start time of a process in clock ticks since boot, where the system tells: a recycled pid has another. */
const processStart = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined
  }
}

const isMissing = (cause: unknown): boolean => (cause as NodeJS.ErrnoException).code === "ENOENT"

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
