import { Clock, Effect, type Scope } from "effect"
import { closeSync, fdatasyncSync, mkdirSync, openSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import type { MetricSinkShape, SinkFailed } from "./metric-sink.ts"
import { appendWhole, attemptFile } from "./sink-file.ts"
import { fileVersionEvent, scalarsEvent, sessionStartEvent, tfRecord } from "./tensorboard-event.ts"

interface EventFile {
  readonly file: string
  readonly descriptor: number
}

const isTaken = (error: unknown) => (error as NodeJS.ErrnoException).code === "EEXIST"

/**
 * Creates `events.out.tfevents.<seconds>.<host>`; where a file of this second exists, `.1`, `.2` … follow the host.
 * TensorBoard reads the files of a folder in the order of their names.
 */
const createEventFile = (folder: string, seconds: number): EventFile => {
  const name = `events.out.tfevents.${String(seconds).padStart(10, "0")}.${hostname()}`
  for (let again = 0; ; again++) {
    const file = join(folder, again === 0 ? name : `${name}.${again}`)
    try {
      return { file, descriptor: openSync(file, "ax") }
    } catch (error) {
      if (!isTaken(error)) throw error
    }
  }
}

const openEventFile = (folder: string, wallTime: number): EventFile => {
  mkdirSync(folder, { recursive: true })
  const created = createEventFile(folder, Math.floor(wallTime))
  appendWhole(created.descriptor, tfRecord(fileVersionEvent(wallTime)))
  return created
}

const close = ({ descriptor }: EventFile) => {
  try {
    fdatasyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const seconds = Effect.map(Clock.currentTimeMillis, (milliseconds) => milliseconds / 1000)

/**
 * TensorBoard event files in `folder`, which is created. Every step is handed to the operating system at once, and to
 * the disk on closing. `truncate` begins a new file whose session start makes TensorBoard drop the later steps of the
 * old ones; those stay on the disk.
 */
export const tensorboardSink = Effect.fn("tensorboardSink")(function* (
  folder: string
): Effect.fn.Return<MetricSinkShape, SinkFailed, Scope.Scope> {
  const open = Effect.flatMap(seconds, (wallTime) => attemptFile(folder, () => openEventFile(folder, wallTime)))
  let current = yield* open
  yield* Effect.addFinalizer(() => Effect.sync(() => close(current)))
  const append = (event: (wallTime: number) => Uint8Array) =>
    Effect.flatMap(seconds, (wallTime) =>
      attemptFile(current.file, () => appendWhole(current.descriptor, tfRecord(event(wallTime))))
    )
  return {
    write: (step, metrics) => append((wallTime) => scalarsEvent(wallTime, step, metrics)),
    truncate: Effect.fn("tensorboardSink.truncate")(function* (afterStep) {
      const next = yield* open
      const previous = current
      current = next
      yield* attemptFile(previous.file, () => close(previous))
      yield* append((wallTime) => sessionStartEvent(wallTime, afterStep + 1))
    })
  }
})
