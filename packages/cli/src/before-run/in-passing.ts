import type { RecipeServices } from "@plumbline/training"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { withRunServices } from "../run-services.ts"
import { STORE_FILE } from "../store-file.ts"
import type { Target } from "./target.ts"

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
    const start = { settings, resume: false, invocation: { command: "examine", options: {} } }
    return yield* look(run(folder)).pipe(withRunServices(start))
  }).pipe(Effect.scoped)

const passingFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumb-passing-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
)
