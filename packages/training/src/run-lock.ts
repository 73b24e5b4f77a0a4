import { Effect, type Scope } from "effect"
import { join } from "node:path"
import { type OutputUnwritable, RunLocked } from "./errors.ts"
import { freeLock, isHeld, takeLock } from "./file-lock.ts"
import { writing } from "./write-files.ts"

const LOCK = "run.lock"

/** Whether a live process is writing the run in `folder`. */
export const isBeingWritten = (folder: string): boolean => isHeld(join(folder, LOCK))

/** Holds the run's lock for as long as the scope lasts. */
export const lockRun = (folder: string): Effect.Effect<void, RunLocked | OutputUnwritable, Scope.Scope> => {
  const file = join(folder, LOCK)
  const take = Effect.flatMap(
    writing(file, () => takeLock(file)),
    (pid) => (pid === undefined ? Effect.void : Effect.fail(new RunLocked({ folder, pid })))
  )
  return Effect.acquireRelease(take, () => Effect.sync(() => freeLock(file)))
}
