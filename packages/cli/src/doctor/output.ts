import { RunExists } from "@plumbline/training"
import { Effect } from "effect"
import { checkWritable } from "../check-writable.ts"
import { runIn } from "../find-run.ts"
import { failureFinding } from "./failure.ts"

/** Whether the run could be made in its own folder. */
export const outputFindings = (output: string | undefined) =>
  Effect.gen(function* () {
    if (output === undefined) return []
    yield* checkWritable(output)
    const existing = runIn(output)
    if (existing !== undefined) return yield* new RunExists({ folder: existing })
    return []
  }).pipe(Effect.catch((failure) => Effect.succeed([failureFinding(failure)])))
