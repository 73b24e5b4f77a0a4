import { Effect } from "effect"
import { fstatSync, ftruncateSync } from "node:fs"
import { reasonOf, writeWhole } from "../write-files.ts"
import { SinkFailed } from "./metric-sink.ts"

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
      return Effect.fail(new SinkFailed({ file, reason: reasonOf(error) }))
    }
  })

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
