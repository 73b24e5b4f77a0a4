import { OutputUnwritable } from "@plumbline/training"
import { Effect } from "effect"
import { accessSync, constants, existsSync, statSync } from "node:fs"
import { dirname, resolve } from "node:path"

/** Fails where `path` could not be made, before anything is loaded or written. */
export const checkWritable = (path: string): Effect.Effect<void, OutputUnwritable> =>
  Effect.suspend(() => {
    const reason = unnamable(path) ?? obstacle(nearestExisting(resolve(path)))
    return reason === undefined ? Effect.void : Effect.fail(new OutputUnwritable({ path, reason }))
  })

/** Why no file can have this path. */
const unnamable = (path: string): string | undefined => {
  try {
    statSync(path, { throwIfNoEntry: false })
    return undefined
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    return code === "EACCES" ? undefined : message
  }
}

const nearestExisting = (path: string): string => (existsSync(path) ? path : nearestExisting(dirname(path)))

const obstacle = (path: string): string | undefined => {
  if (!statSync(path).isDirectory()) return `${path} is a file, not a folder`
  try {
    accessSync(path, constants.W_OK)
    return undefined
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === "EROFS") return `${path} is on a read-only file system`
    return code === "EACCES" ? `${path} may not be written by this user` : message
  }
}
