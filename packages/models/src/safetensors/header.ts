import { otherTypes, readableTypes } from "./dtype.ts"
import { elementCount } from "../decoder/parameter.ts"

/** A tensor of a safetensors file; offsets in bytes from the end of the header. */
export interface TensorEntry {
  readonly dtype: string
  readonly shape: ReadonlyArray<number>
  readonly start: number
  readonly end: number
}

/** What is wrong with a header, and with which tensor of it. */
export interface HeaderFault {
  readonly tensor?: string
  readonly reason: string
}

/** The format's own limit on a header's size, bytes. */
export const MAX_HEADER = 100_000_000

/**
 * Parses a safetensors header and checks that its tensors fill the data exactly: no gap, no overlap, each as large
 * as its shape and type say.
 *
 * @param dataBytes bytes of the file after the header
 */
export const parseHeader = (text: string, dataBytes: number): ReadonlyMap<string, TensorEntry> | HeaderFault => {
  const json = parseObject(text)
  if (json === undefined) return { reason: "the header is not a JSON object" }
  const entries = new Map<string, TensorEntry>()
  for (const [tensor, value] of Object.entries(json)) {
    if (tensor === "__metadata__") continue
    const entry = parseEntry(value)
    if (typeof entry === "string") return { tensor, reason: entry }
    entries.set(tensor, entry)
  }
  return layoutFault(entries, dataBytes) ?? entries
}

const parseObject = (text: string): Record<string, unknown> | undefined => {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json } : undefined
  } catch {
    return undefined
  }
}

const parseEntry = (value: unknown): TensorEntry | string => {
  const { data_offsets: offsets, dtype, shape } = Object(value) as Record<string, unknown>
  if (typeof dtype !== "string") return "has no dtype"
  if (!isSizes(shape)) return "has no valid shape"
  if (!isSizes(offsets) || offsets.length !== 2) return "has no valid data_offsets"
  const [start, end] = offsets as [number, number]
  const bytes = readableTypes[dtype]?.bytes ?? otherTypes[dtype]
  if (bytes === undefined) return `has the unknown dtype ${dtype}`
  const expected = elementCount(shape) * bytes
  if (end - start !== expected) {
    return `${dtype} [${shape.join(", ")}] takes ${expected} bytes, its data_offsets give ${end - start}`
  }
  return { dtype, shape, start, end }
}

const isSizes = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)

const layoutFault = (entries: ReadonlyMap<string, TensorEntry>, dataBytes: number): HeaderFault | undefined => {
  let filled = 0
  for (const [tensor, { end, start }] of [...entries].toSorted(([, a], [, b]) => a.start - b.start || a.end - b.end)) {
    if (end > dataBytes) {
      return { tensor, reason: `ends at byte ${end} of the data, the file holds ${dataBytes}: it is truncated` }
    }
    if (start < filled) return { tensor, reason: `begins at byte ${start}, inside the tensor before it` }
    if (start > filled) return { tensor, reason: `begins at byte ${start}, the tensor before it ends at ${filled}` }
    filled = end
  }
  if (filled === dataBytes) return undefined
  return { reason: `the tensors take ${filled} bytes, the file holds ${dataBytes}` }
}
