import { type RunRecord, RunStore } from "@plumbline/store"
import { Effect } from "effect"
import { existsSync, realpathSync } from "node:fs"
import { resolve, sep } from "node:path"

/** Where a path leads in the end: a run may be asked for through a link, or have been started through one. */
export const realPath = (path: string): string => (existsSync(path) ? realpathSync(path) : resolve(path))

/** The run of this folder, else the newest of this name. */
export const recordedRun = Effect.fnUntraced(function* (wanted: string) {
  const store = yield* RunStore
  const folder = realPath(wanted)
  return (yield* store.runs()).find((run) => realPath(run.folder) === folder) ?? (yield* store.find(wanted))
})

/** The run of this folder and those in it, oldest first; else the newest of this name. */
export const recordedRuns = Effect.fnUntraced(function* (wanted: string) {
  const folder = realPath(wanted)
  const all: ReadonlyArray<RunRecord> = yield* (yield* RunStore).runs()
  const itself = all.filter((run) => realPath(run.folder) === folder)
  const stages = all.filter((run) => realPath(run.folder).startsWith(folder + sep)).toReversed()
  const found = [...itself, ...stages]
  return found.length > 0 ? found : [yield* recordedRun(wanted)]
})
