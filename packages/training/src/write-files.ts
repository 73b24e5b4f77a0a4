import { Effect } from "effect"
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from "node:fs"
import { dirname } from "node:path"
import { OutputUnwritable } from "./errors.ts"

/** Runs a write; what the system refuses is typed. */
export const writing = <A>(path: string, write: () => A): Effect.Effect<A, OutputUnwritable> =>
  Effect.try({ try: write, catch: (cause) => new OutputUnwritable({ path, reason: reasonOf(cause) }) })

/** Writes through a temporary sibling, synced and renamed: the file is there whole or not at all. */
export const writeFileAtomically = (file: string, text: string): Effect.Effect<void, OutputUnwritable> =>
  writing(file, () => replaceFile(file, new TextEncoder().encode(text)))

/** Replaces a file's contents so that a crash leaves the old or the new: temporary file, sync, rename, sync. */
export const replaceFile = (file: string, bytes: Uint8Array): void => {
  const temporary = `${file}.partial`
  const descriptor = openSync(temporary, "w")
  try {
    writeWhole(descriptor, bytes)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(temporary, file)
  syncFolder(dirname(file))
}

/** Writes all of `bytes`, in one write where the system takes them whole. */
export const writeWhole = (descriptor: number, bytes: Uint8Array): void => {
  let written = 0
  while (written < bytes.length) written += writeSync(descriptor, bytes, written)
}

/** Makes a folder and those above it. Not mkdir's own recursion: it never returns where the system refuses, as in /proc. */
export const makeFolder = (folder: string): void => {
  if (existsSync(folder)) return
  makeFolder(dirname(folder))
  try {
    mkdirSync(folder)
  } catch (cause) {
    // another process made it first
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

/** Makes a rename in `folder` durable. */
export const syncFolder = (folder: string): void => {
  const descriptor = openSync(folder, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "access denied",
  EDQUOT: "the disk quota is used up",
  EISDIR: "it is a folder",
  EIO: "reading or writing failed",
  EMFILE: "too many open files",
  ENOENT: "its folder does not exist",
  ENOSPC: "the disk is full",
  ENOTDIR: "its folder is a file",
  EROFS: "the file system is read-only"
}

/** What the system said, in words. */
export const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  const known = REASONS[code ?? ""]
  return known === undefined ? (message ?? String(cause)) : `${known} (${code})`
}
