import { statSync, type Stats } from "node:fs"

/** What lies at a path; undefined where nothing does, also where no file system could hold such a name. */
export const statusOf = (path: string): Stats | undefined => {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}
