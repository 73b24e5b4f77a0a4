import { linkSync, readFileSync, rmSync, writeFileSync } from "node:fs"

/** Whether a live process holds a lock file. */
export const isHeld = (file: string): boolean => {
  const holder = readHolder(file)
  return holder !== undefined && isAlive(holder)
}

/**
 * Takes a lock file, also where whoever had it is dead. Throws where it cannot be written.
 *
 * @returns the process that holds it; undefined where it is this one's now
 */
export const takeLock = (file: string): number | undefined => {
  const holder = readHolder(file)
  if (holder !== undefined && isAlive(holder)) return holder.pid
  if (holder !== undefined) rmSync(file, { force: true })
  return createLock(file) ? undefined : (readHolder(file)?.pid ?? 0)
}

export const freeLock = (file: string): void => rmSync(file, { force: true })

/** A link is made whole or not at all: of two processes that start together, one gets it. */
const createLock = (file: string): boolean => {
  const own = `${file}.${process.pid}`
  writeFileSync(own, JSON.stringify({ pid: process.pid, started: processOf(process.pid)?.started }))
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
  const now = processOf(pid)
  if (now === undefined) return true
  // killed, and not yet buried by its parent: in a container there may be nobody who does
  if (now.state === "Z" || now.state === "X") return false
  return started === undefined || now.started === started
}

/** State and start time, in clock ticks since boot, where the system tells: a recycled pid has another. */
const processOf = (pid: number): { readonly state: string; readonly started: string } | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { state: fields[0]!, started: fields[19]! }
  } catch {
    return undefined
  }
}
