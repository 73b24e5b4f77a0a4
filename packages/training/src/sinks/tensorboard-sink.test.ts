import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { maskedCrc32c } from "./crc32c.ts"
import { tensorboardSink } from "./tensorboard-sink.ts"

/** Splits a TFRecord file, checking both CRCs of every record and that nothing is left over. */
const recordsOf = (bytes: Buffer): ReadonlyArray<Buffer> => {
  const records: Array<Buffer> = []
  for (let at = 0; at < bytes.length;) {
    const length = Number(bytes.readBigUInt64LE(at))
    assert.strictEqual(bytes.readUInt32LE(at + 8), maskedCrc32c(bytes.subarray(at, at + 8)), "CRC of the length")
    const data = bytes.subarray(at + 12, at + 12 + length)
    assert.strictEqual(bytes.readUInt32LE(at + 12 + length), maskedCrc32c(data), "CRC of the data")
    records.push(data)
    at += 16 + length
  }
  return records
}

type Fields = ReadonlyMap<number, ReadonlyArray<Buffer>>

/** The fields of a protobuf message: number → payloads, varints as eight little-endian bytes. */
const fieldsOf = (bytes: Buffer): Fields => {
  const fields = new Map<number, Array<Buffer>>()
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]!
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const take = (length: number) => bytes.subarray(at, (at += length))
  const payload = (wireType: number) => {
    if (wireType === 0) return Buffer.from(BigInt64Array.of(varint()).buffer)
    if (wireType === 2) return take(Number(varint()))
    return take(wireType === 1 ? 8 : 4)
  }
  while (at < bytes.length) {
    const key = Number(varint())
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), payload(key & 7)])
  }
  return fields
}

const only = (fields: Fields, number: number) => fields.get(number)![0]!

const decodeEvent = (record: Buffer) => {
  const event = fieldsOf(record)
  const header = { wallTime: only(event, 1).readDoubleLE(), step: Number(only(event, 2).readBigInt64LE()) }
  if (event.has(3)) return { ...header, fileVersion: only(event, 3).toString() }
  if (event.has(7)) return { ...header, sessionStatus: Number(only(fieldsOf(only(event, 7)), 1).readBigInt64LE()) }
  const values = fieldsOf(only(event, 5)).get(1)!.map(fieldsOf)
  return { ...header, scalars: values.map((value) => [only(value, 1).toString(), only(value, 2).readFloatLE()]) }
}

const eventsIn = (file: string) => recordsOf(readFileSync(file)).map(decodeEvent)

const temporaryFolder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "plumbline-sinks-"))),
  (folder) => Effect.sync(() => rmSync(folder, { recursive: true }))
)

const START = 1_700_000_000

describe("tensorboardSink", () => {
  it.effect("writes framed events: the version, then the scalars of each step", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(START * 1000)
      const folder = join(yield* temporaryFolder, "tensorboard")
      const sink = yield* tensorboardSink(folder)
      yield* TestClock.adjust(250)
      // 0.1 is no float32: it reads back as the nearest. 128 is the first varint of two bytes, 2³³ has five.
      yield* sink.write(128, { loss: 0.5, "rewards/chosen": 0.1 })
      yield* sink.write(2 ** 33, { loss: -2 })
      assert.deepStrictEqual(readdirSync(folder), [`events.out.tfevents.${START}.${hostname()}`])
      assert.deepStrictEqual(eventsIn(join(folder, readdirSync(folder)[0]!)), [
        { wallTime: START, step: 0, fileVersion: "brain.Event:2" },
        {
          wallTime: START + 0.25,
          step: 128,
          scalars: [
            ["loss", 0.5],
            ["rewards/chosen", Math.fround(0.1)]
          ]
        },
        { wallTime: START + 0.25, step: 2 ** 33, scalars: [["loss", -2]] }
      ])
    })
  )

  it.effect("begins a new file on truncation, with a session start after the kept step", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(START * 1000)
      const folder = yield* temporaryFolder
      const sink = yield* tensorboardSink(folder)
      yield* sink.write(9, { loss: 3 })
      yield* sink.truncate(8)
      yield* sink.write(9, { loss: 2 })
      const name = `events.out.tfevents.${START}.${hostname()}`
      assert.deepStrictEqual(readdirSync(folder).toSorted(), [name, `${name}.1`])
      assert.strictEqual(eventsIn(join(folder, name)).length, 2)
      assert.deepStrictEqual(eventsIn(join(folder, `${name}.1`)), [
        { wallTime: START, step: 0, fileVersion: "brain.Event:2" },
        { wallTime: START, step: 9, sessionStatus: 1 },
        { wallTime: START, step: 9, scalars: [["loss", 2]] }
      ])
    })
  )

  it.effect("says why its folder cannot be made", () =>
    Effect.gen(function* () {
      const file = join(yield* temporaryFolder, "file")
      writeFileSync(file, "")
      const error = yield* Effect.flip(tensorboardSink(join(file, "tensorboard")))
      assert.include(error.message, "its folder is a file (ENOTDIR)")
    })
  )
})
