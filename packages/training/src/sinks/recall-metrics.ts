import { RunStore } from "@plumbline/store"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { attemptFile } from "./sink-file.ts"

/**
 * Gives the store the lines of a whole `metrics.jsonl` where it knows none of the run's: a store that was lost is begun
 * anew, and a run may be resumed beside another one.
 */
export const recallMetrics = Effect.fnUntraced(function* (folder: string, file: string) {
  const store = yield* RunStore
  if ((yield* store.find(folder)).lastStep !== null) return
  const text = yield* attemptFile(file, () => readFileSync(file, "utf8"))
  for (const line of text.split("\n").slice(0, -1)) {
    const { step, ...values } = JSON.parse(line) as Record<string, number>
    yield* store.appendMetrics(folder, step!, values)
  }
})
