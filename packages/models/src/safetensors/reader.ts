import { isLfsPointer, LFS_POINTER } from "@plumbline/data"
import { Effect, type Scope } from "effect"
import { type FileHandle, open } from "node:fs/promises"
import { CheckpointInvalid } from "../errors.ts"
import { elementCount } from "../decoder/parameter.ts"
import { readableTypes, unreadable } from "./dtype.ts"
import { MAX_HEADER, parseHeader, type TensorEntry } from "./header.ts"

/** Numbers of a tensor that lie side by side. */
export interface TensorPart {
  readonly first: number
  readonly count: number
}

/** An open safetensors file whose header is valid. */
export interface SafetensorsFile {
  readonly file: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
  /** One tensor's values, or a part of them, widened to float32; nothing else of the file is held. */
  readonly read: (tensor: string, part?: TensorPart) => Effect.Effect<Float32Array, CheckpointInvalid>
}

/** Opens a safetensors file for as long as the scope lasts and validates its header. */
export const openSafetensors = Effect.fn("openSafetensors")(function* (
  file: string
): Effect.fn.Return<SafetensorsFile, CheckpointInvalid, Scope.Scope> {
  const handle = yield* Effect.acquireRelease(
    attempt(file, () => open(file, "r")),
    (opened) => Effect.promise(() => opened.close())
  )
  const { size } = yield* attempt(file, () => handle.stat())
  const headerBytes = yield* headerLength(file, handle, size)
  const header = yield* attempt(file, () => readExactly(handle, 8, headerBytes))
  const dataStart = 8 + headerBytes
  const tensors = parseHeader(new TextDecoder().decode(header), size - dataStart)
  if (!(tensors instanceof Map)) return yield* new CheckpointInvalid({ file, ...(tensors as { reason: string }) })
  const read = Effect.fnUntraced(function* (tensor: string, part?: TensorPart) {
    const { dtype, end, shape, start } = tensors.get(tensor) as TensorEntry
    const type = readableTypes[dtype]
    if (type === undefined) return yield* new CheckpointInvalid({ file, tensor, reason: unreadable(dtype) })
    const numbers = elementCount(shape)
    if (numbers === 0) return new Float32Array(0)
    const { count, first } = part ?? { first: 0, count: numbers }
    const bytes = (end - start) / numbers
    const from = dataStart + start + first * bytes
    return type.widen(yield* attempt(file, () => readExactly(handle, from, count * bytes), tensor))
  })
  return { file, tensors, read }
})

const headerLength = Effect.fnUntraced(function* (file: string, handle: FileHandle, size: number) {
  if (size < 8) return yield* new CheckpointInvalid({ file, reason: `${size} bytes are too few for a header` })
  const prefix = yield* attempt(file, () => readExactly(handle, 0, 8))
  const length = Number(new DataView(prefix.buffer).getBigUint64(0, true))
  if (length > MAX_HEADER) {
    const start = yield* attempt(file, () => readExactly(handle, 0, Math.min(size, 64)))
    const isPointer = isLfsPointer(new TextDecoder().decode(start))
    const reason = isPointer ? LFS_POINTER : `a header of ${length} bytes is above the limit of ${MAX_HEADER}`
    return yield* new CheckpointInvalid({ file, reason })
  }
  if (8 + length > size) {
    const reason = `the header should take ${length} bytes, the file holds ${size - 8} after its length: it is truncated`
    return yield* new CheckpointInvalid({ file, reason })
  }
  return length
})

/** Node reads at most 2³¹ − 1 bytes at a time. */
const MAX_READ = 2 ** 30

const readExactly = async (handle: FileHandle, position: number, length: number): Promise<Uint8Array<ArrayBuffer>> => {
  const bytes = new Uint8Array(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(MAX_READ, length - done), position + done)
    if (bytesRead === 0) throw new Error(`the file ends at byte ${position + done}`)
    done += bytesRead
  }
  return bytes
}

const attempt = <A>(file: string, run: () => Promise<A>, tensor?: string): Effect.Effect<A, CheckpointInvalid> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) =>
      new CheckpointInvalid({ file, ...(tensor === undefined ? {} : { tensor }), reason: reasonOf(cause) })
  })

const reasonOf = (cause: unknown): string => {
  const { code, message } = cause as NodeJS.ErrnoException
  return code === "ENOENT" ? "no such file" : message
}
