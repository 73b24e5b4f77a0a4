import { Effect } from "effect"
import { closeSync, fstatSync, ftruncateSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs"
import { dirname } from "node:path"
import { SinkFailed } from "./metric-sink.ts"

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

const isSystemError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).code === "string"

/** Runs synchronous file work; what the file system refuses becomes `SinkFailed`, anything else stays a defect. */
export const attemptFile = <A>(file: string, body: () => A): Effect.Effect<A, SinkFailed> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(body())
    } catch (error) {
      if (error instanceof SinkFailed) return Effect.fail(error)
      if (!isSystemError(error)) return Effect.die(error)
      const known = REASONS[error.code!]
      return Effect.fail(new SinkFailed({ file, reason: known ? `${known} (${error.code})` : error.message }))
    }
  })

/** Writes all of `bytes`, in one write where the system takes them whole. */
const writeWhole = (descriptor: number, bytes: Uint8Array) => {
  let written = 0
  while (written < bytes.length) written += writeSync(descriptor, bytes, written)
}

/**
 * Appends a record to a file opened for appending. One that does not fit is taken back, so that no later record
 * continues a torn one.
 */
export const appendWhole = (descriptor: number, bytes: Uint8Array) => {
  const { size } = fstatSync(descriptor)
  try {
    writeWhole(descriptor, bytes)
  } catch (error) {
    takeBack(descriptor, size)
    throw error
  }
}

/** Best effort: the caller already has the error that tells more. */
const takeBack = (descriptor: number, size: number) => {
  try {
    ftruncateSync(descriptor, size)
  } catch {
    // A device that cannot be shortened kept no torn record either.
  }
}

const syncFolder = (folder: string) => {
  const descriptor = openSync(folder, "r")
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Replaces a file's contents so that a crash leaves the old or the new: temporary file, sync, rename, sync. */
export const replaceFile = (file: string, bytes: Uint8Array) => {
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
