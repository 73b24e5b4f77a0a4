import { type RecipeServices, StopRequest } from "@plumbline/training"
import { Effect, Schema } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { withRunServices } from "../run-services.ts"
import { STORE_FILE } from "../store-file.ts"
import type { Target } from "./target.ts"

/** A signal ended it. */
export class LookStopped extends Schema.TaggedError<LookStopped>()("LookStopped", {}) {
  override get message() {
    return "stopped before it had seen the run; nothing was written"
  }
}

/**
 * Looks at a run with everything that a run has. What it writes on its way goes to a folder that is removed in the end.
 *
 * @param look is given the run
 */
export const inPassing = <A, E>(
  { options, run }: Target,
  look: (run: ReturnType<Target["run"]>) => Effect.Effect<A, E, RecipeServices>
) =>
  Effect.gen(function* () {
    const folder = yield* passingFolder
    const settings = { ...options, output: folder, store: join(folder, STORE_FILE) }
    const invocation = { command: "examine", options: {} }
    const stopping = "stopping, nothing is kept"
    return yield* look(run(folder)).pipe(
      Effect.raceFirst(untilStopped),
      withRunServices({ settings, resume: false, invocation, stopping })
    )
  }).pipe(Effect.scoped)

const untilStopped = Effect.gen(function* () {
  const isAsked = yield* StopRequest
  while (!isAsked()) yield* Effect.sleep("100 millis")
  return yield* new LookStopped()
})

const passingFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumb-passing-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
