import type { RunRecord, RunStatus } from "@plumbline/store"
import { readFileSync } from "node:fs"
import { join } from "node:path"

/** Status as it is now: a run that the store calls running may have been killed. */
export type ShownStatus = RunStatus | "interrupted"

export const statusOf = ({ folder, status }: Pick<RunRecord, "folder" | "status">): ShownStatus =>
  status === "running" && !isWritten(folder) ? "interrupted" : status

/** Whether the process that holds the run's lock is there. */
const isWritten = (folder: string): boolean => {
  try {
    const { pid, started } = JSON.parse(readFileSync(join(folder, "run.lock"), "utf8")) as {
      readonly pid: number
      readonly started?: string
    }
    return isProcess(pid) && (started === undefined || [started, undefined].includes(startOf(pid)))
  } catch {
    return false
  }
}

const isProcess = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    // EPERM: it is there, and somebody else's
    return (cause as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** Clock ticks since boot, where the system tells: another process with the same number has another. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined
  }
}
