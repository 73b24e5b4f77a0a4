import { isRunFolder } from "@plumbline/training"
import { readdirSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { statusOf } from "./status-of.ts"

/** The run in `folder`, else the first run in a folder of it, such as a stage; undefined where no run was started. */
export const runIn = (folder: string): string | undefined => {
  if (!statusOf(folder)?.isDirectory()) return undefined
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const stages = entries.map(({ name }) => join(folder, name)).toSorted()
  return [folder, ...stages].find((candidate) => isRunFolder(candidate))
}

/**
 * The folder of the recipe that wrote a run: the run's own, or the one around it where the run is a stage. It may have moved since.
 *
 * @param run    absolute folder of the run
 * @param name   of the folder it was started in
 * @param output absolute folder that the recipe was started in
 */
export const recipeFolder = (run: string, name: string, output: string): string =>
  name !== basename(output) || dirname(run) === output ? dirname(run) : run
