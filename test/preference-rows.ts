import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { golden } from "./reference-files.ts"

/** Preference pairs that curves were recorded on. */
export const preferenceFile = join(golden, "preferences.jsonl")

interface PreferenceRow {
  readonly prompt: string
  readonly chosen: string
  readonly rejected: string
}

const preferenceRows = (): ReadonlyArray<PreferenceRow> => {
  const rows = readFileSync(preferenceFile, "utf8").trim().split("\n")
  return rows.map((row) => JSON.parse(row) as PreferenceRow)
}

const written = (folder: string, name: string, rows: ReadonlyArray<object>): string => {
  const file = join(folder, name)
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join("\n"))
  return file
}

/** The pairs as demonstrations, in a file of the folder: prompt → chosen. */
export const demonstrationsIn = (folder: string): string => {
  const rows = preferenceRows().map(({ chosen, prompt }) => ({ prompt, completion: chosen }))
  return written(folder, "demonstrations.jsonl", rows)
}

/** The pairs judged one by one: the chosen side of every other row, the rejected side of the rest. */
export const judgedIn = (folder: string): string => {
  const rows = preferenceRows().map(({ chosen, prompt, rejected }, i) =>
    i % 2 === 0 ? { prompt, completion: chosen, label: true } : { prompt, completion: rejected, label: false }
  )
  return written(folder, "judged.jsonl", rows)
}
