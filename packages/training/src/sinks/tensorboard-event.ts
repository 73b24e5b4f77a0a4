import { maskedCrc32c } from "./crc32c.ts"
import type { StepMetrics } from "./metric-sink.ts"

/*
 * The part of TensorBoard's event format that scalars need. Field numbers are those of its event.proto and summary.proto:
 *
 *   Event      { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7 }
 *   Summary    { repeated Value value = 1 }
 *   Value      { string tag = 1; float simple_value = 2 }
 *   SessionLog { SessionStatus status = 1 }      with START = 1
 */

const VARINT = 0
const FIXED_64 = 1
const LENGTH_DELIMITED = 2
const FIXED_32 = 5

/** Base-128 digits of a safe integer ≥ 0, the lowest first. */
const varint = (value: number): Uint8Array => {
  const digits: Array<number> = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128)
  return Uint8Array.from([...digits, rest])
}

const field = (number: number, wireType: number, ...payload: ReadonlyArray<Uint8Array>) =>
  Buffer.concat([varint(number * 8 + wireType), ...payload])

const integerField = (number: number, value: number) => field(number, VARINT, varint(value))

const bytesField = (number: number, content: Uint8Array) =>
  field(number, LENGTH_DELIMITED, varint(content.length), content)

const doubleField = (number: number, value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return field(number, FIXED_64, bytes)
}

const floatField = (number: number, value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return field(number, FIXED_32, bytes)
}

const event = (wallTime: number, step: number, content: Uint8Array) =>
  Buffer.concat([doubleField(1, wallTime), integerField(2, step), content])

/** First record of every event file. `wallTime` in seconds since 1970. */
export const fileVersionEvent = (wallTime: number): Uint8Array =>
  event(wallTime, 0, bytesField(3, Buffer.from("brain.Event:2")))

/** Tells TensorBoard to forget what earlier files say of `step` and later ones: a run resumed there. */
export const sessionStartEvent = (wallTime: number, step: number): Uint8Array =>
  event(wallTime, step, bytesField(7, integerField(1, 1)))

/** All metrics of one step, as float32 scalars tagged with their names. */
export const scalarsEvent = (wallTime: number, step: number, metrics: StepMetrics): Uint8Array => {
  const values = Object.entries(metrics).map(([name, value]) =>
    bytesField(1, Buffer.concat([bytesField(1, Buffer.from(name)), floatField(2, value)]))
  )
  return event(wallTime, step, bytesField(5, Buffer.concat(values)))
}

/** A TFRecord: length (uint64), its masked CRC, the data, their masked CRC; all little-endian. */
export const tfRecord = (data: Uint8Array): Uint8Array => {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(data.length))
  return Buffer.concat([length, crcBytes(length), data, crcBytes(data)])
}

const crcBytes = (bytes: Uint8Array) => {
  const crc = Buffer.alloc(4)
  crc.writeUInt32LE(maskedCrc32c(bytes))
  return crc
}
