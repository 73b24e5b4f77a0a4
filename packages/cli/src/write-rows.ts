import { makeFolder, OutputUnwritable } from "@plumbline/training"
import { Effect } from "effect"
import { closeSync, existsSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs"
import { dirname, resolve } from "node:path"

/** Rows written at one time. */
const ROWS = 4096

/** Writes rows as JSONL into a new file, which is there whole or not at all. A file that is there already is not replaced. */
export const writeRows = (file: string, rows: ReadonlyArray<unknown>): Effect.Effect<void, OutputUnwritable> =>
  Effect.try({
    try: () => {
      if (existsSync(file)) throw new Error("it is there already; name another file, or remove it")
      makeFolder(dirname(resolve(file)))
      const temporary = `${file}.partial`
      writeLines(temporary, rows)
      renameSync(temporary, file)
    },
    catch: (cause) => new OutputUnwritable({ path: file, reason: (cause as Error).message })
  })

const writeLines = (file: string, rows: ReadonlyArray<unknown>): void => {
  const descriptor = openSync(file, "w")
  try {
    for (let at = 0; at < rows.length; at += ROWS) {
      const lines = rows.slice(at, at + ROWS).map((row) => `${JSON.stringify(row)}\n`)
      writeSync(descriptor, lines.join(""))
    }
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
