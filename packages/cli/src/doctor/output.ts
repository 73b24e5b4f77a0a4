import { RunExists } from "@plumbline/training"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { checkWritable } from "../check-writable.ts"
import { runIn } from "../find-run.ts"
import { failureFinding } from "./failure.ts"

/** A folder for what an examined run writes on its way, gone with the scope. */
export const passingFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumb-doctor-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)

/** Whether the run could be made in its own folder. */
export const outputFindings = (output: string | undefined) =>
  Effect.gen(function* () {
    if (output === undefined) return []
    yield* checkWritable(output)
    const existing = runIn(output)
    if (existing !== undefined) return yield* new RunExists({ folder: existing })
    return []
  }).pipe(Effect.catch((failure) => Effect.succeed([failureFinding(failure)])))
