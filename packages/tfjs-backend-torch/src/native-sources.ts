import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** The C++ that the addon is compiled from. */
export const NATIVE_SOURCES = join(import.meta.dirname, "../native")

/** Names these very sources; absent where the folder is not there. */
export const digestOfSources = (folder: string): string | undefined => {
  if (!existsSync(folder)) return undefined
  const hash = createHash("sha256")
  // what editors leave there is no source
  const names = readdirSync(folder).filter((name) => /^[^.].*\.(?:cc|h)$/.test(name))
  for (const name of names.toSorted()) hash.update(name).update(readFileSync(join(folder, name)))
  return hash.digest("hex").slice(0, 12)
}
