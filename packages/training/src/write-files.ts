import { Effect } from "effect"
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs"
import { dirname } from "node:path"
import { OutputUnwritable } from "./errors.ts"

/** Runs a write; what the system refuses is typed. */
export const writing = <A>(path: string, write: () => A): Effect.Effect<A, OutputUnwritable> =>
  Effect.try({ try: write, catch: (cause) => new OutputUnwritable({ path, reason: reasonOf(cause) }) })

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

export const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
