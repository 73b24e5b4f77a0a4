import type { RunRecord, RunStatus } from "@plumbline/store"
import { isBeingWritten } from "@plumbline/training"

/** Status as it is now: a run that the store calls running may have been killed. */
export type ShownStatus = RunStatus | "interrupted"

export const statusOf = ({ folder, status }: Pick<RunRecord, "folder" | "status">): ShownStatus =>
  status === "running" && !isBeingWritten(folder) ? "interrupted" : status
