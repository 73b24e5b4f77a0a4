import { Effect, type Scope } from "effect"
import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type OutputUnwritable, RunLocked } from "./errors.ts"
import { writing } from "./write-files.ts"

const LOCK = "run.lock"

/** Whether a live process is writing the run in `folder`. */
export const isBeingWritten = (folder: string): boolean => {
  const holder = readHolder(join(folder, LOCK))
  return holder !== undefined && isAlive(holder)
}

/** Holds the run's lock for as long as the scope lasts. */
export const lockRun = (folder: string): Effect.Effect<void, RunLocked | OutputUnwritable, Scope.Scope> =>
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
