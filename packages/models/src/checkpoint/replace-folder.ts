import { mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"

let written = 0

/**
 * Puts a folder that `fill` has written completely at `folder`, or leaves there what was there before: it is filled
 * under a temporary name beside it, synced and renamed.
 */
export const replaceFolder = async (folder: string, fill: (temporary: string) => Promise<void>): Promise<void> => {
  const target = resolve(folder)
  const parent = dirname(target)
  const suffix = `${process.pid}-${++written}`
  const temporary = join(parent, `.${basename(target)}.tmp-${suffix}`)
  const previous = join(parent, `.${basename(target)}.old-${suffix}`)
  await mkdir(parent, { recursive: true })
  await refuseForeign(target)
  await rm(temporary, { recursive: true, force: true })
  try {
    await mkdir(temporary)
    await fill(temporary)
    await syncFolder(temporary)
    await swap(temporary, target, previous)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  await syncFolder(parent)
  await rm(previous, { recursive: true, force: true })
}

/** A folder that has one of these holds a model, or an adapter of one. */
const MARKS = ["config.json", "adapter_config.json"]

/** Only a model folder or an empty one may be replaced. */
const refuseForeign = async (target: string): Promise<void> => {
  const names = await readdir(target).catch((cause: NodeJS.ErrnoException): Array<string> => {
    if (cause.code === "ENOENT") return []
    throw cause
  })
  if (names.length > 0 && !MARKS.some((mark) => names.includes(mark))) {
    throw new Error("the folder is there, is not empty and holds no model: choose another, or empty it")
  }
}

const swap = async (temporary: string, target: string, previous: string): Promise<void> => {
  const existed = await rename(target, previous).then(
    () => true,
    (cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return false
      throw cause
    }
  )
  try {
    await rename(temporary, target)
  } catch (cause) {
    if (existed) await rename(previous, target)
    throw cause
  }
}

const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
