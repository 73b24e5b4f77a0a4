import { isRunFolder } from "@plumbline/training"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"

/** The run in `folder`, else the first stage in it; undefined where no run was started. */
export const runIn = (folder: string): string | undefined => {
  if (!existsSync(folder)) return undefined
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const stages = entries.map(({ name }) => join(folder, name)).toSorted()
  return [folder, ...stages].find((candidate) => isRunFolder(candidate))
}
