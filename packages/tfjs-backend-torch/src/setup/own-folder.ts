import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { basename, dirname, join } from "node:path"

/** Makes a folder, or throws what the system says where it cannot be made or written to. */
export const writable = (folder: string): string => {
  mkdirSync(folder, { recursive: true })
  accessSync(folder, constants.W_OK)
  return folder
}

/**
 * Fills a folder, unless it `isWhole`: one of this process's own, which gets the name when it is done, so that neither a
 * process that is broken off nor another at the same time leaves half of it there.
 */
export const fillWhole = (folder: string, isWhole: () => boolean, fill: (unfinished: string) => void): void => {
  removeAbandoned(folder)
  if (isWhole()) return
  writable(dirname(folder))
  const unfinished = `${folder}.${process.pid}`
  try {
    fill(unfinished)
    if (isWhole()) return
    rmSync(folder, { recursive: true, force: true })
    renameSync(unfinished, folder)
  } finally {
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Writes down what set-up made, as JSON: whole, and only where that is not what is there. */
export const writeRecord = (file: string, made: object): void => {
  const text = `${JSON.stringify(made, null, 2)}\n`
  if (existsSync(file) && readFileSync(file, "utf8") === text) return
  const unfinished = `${file}.${process.pid}`
  writeFileSync(unfinished, text)
  renameSync(unfinished, file)
}

/** Of processes that were killed. */
const removeAbandoned = (folder: string): void => {
  const [parent, name] = [dirname(folder), `${basename(folder)}.`]
  if (!existsSync(parent)) return
  for (const entry of readdirSync(parent).filter((other) => other.startsWith(name))) {
    const pid = Number(entry.slice(name.length))
    if (Number.isInteger(pid) && !isAlive(pid)) rmSync(join(parent, entry), { recursive: true, force: true })
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (cause) {
    return (cause as { readonly code?: string }).code === "EPERM"
  }
}
