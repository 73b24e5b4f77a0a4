import { makeFolder, OutputUnwritable } from "@plumbline/training"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { dirname } from "node:path"

/** Writes rows as JSONL, making the folder; @returns the file. */
export const writeJsonl = (file: string, rows: ReadonlyArray<unknown>): Effect.Effect<string, OutputUnwritable> =>
  Effect.try({
    try: () => {
      makeFolder(dirname(file))
      writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
      return file
    },
    catch: (cause) =>
      new OutputUnwritable({ path: file, reason: cause instanceof Error ? cause.message : String(cause) })
  })
