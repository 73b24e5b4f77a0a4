import { existsSync, realpathSync } from "node:fs"
import { dirname, sep } from "node:path"
import { fileURLToPath } from "node:url"

const own = fileURLToPath(import.meta.url)

/** Folder of Plumbline's packages; undefined in a bundle, which runs no code of its user's. */
const PACKAGES = existsSync(own) ? dirname(dirname(dirname(realpathSync(own)))) + sep : undefined

/** `path:line:column` at the end of a frame of a stack. */
const PLACE = /[\s(]((?:file:\/\/)?\/[^()]*):\d+:\d+\)?$/

/**
 * Frames of a stack that are in neither Plumbline nor a package of others, the innermost first: a recipe's. Empty
 * where nobody but Plumbline was at work.
 */
export const usersFrames = (stack = ""): ReadonlyArray<string> =>
  stack
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("at "))
    .filter(isUsersFrame)

/** Whether a frame of a stack is in neither Plumbline nor a package of others. */
export const isUsersFrame = (frame: string): boolean => {
  const path = PLACE.exec(frame)?.[1]
  return path !== undefined && isUsers(path.startsWith("file:") ? fileURLToPath(path) : path)
}

const isUsers = (path: string): boolean =>
  PACKAGES !== undefined && !path.startsWith(PACKAGES) && !path.includes(`${sep}node_modules${sep}`)
