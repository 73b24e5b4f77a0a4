import { misfit, type TensorShapes } from "../own-variables.ts"
import { readableTypes, unreadable } from "./dtype.ts"
import { type HeaderFault, parseHeader, type TensorEntry } from "./header.ts"

/** Values that wait to be written into a model. */
export interface StagedTensor {
  /** Widened to float32; to be asked once. */
  readonly values: () => Float32Array
}

/** A safetensors file that comes piece by piece, of which nothing is held but what a model has a place for. */
export interface IncomingTensors {
  /** Takes the next bytes. @returns what is wrong with the file, as soon as it can be known */
  readonly push: (bytes: Uint8Array) => HeaderFault | undefined
  /** What came, once all of it has. @returns a fault where the bytes end early */
  readonly end: () => ReadonlyMap<string, StagedTensor> | HeaderFault
}

/** Of a header, for each tensor that the model has: names are some hundred bytes at most. */
const HEADER_BYTES_A_TENSOR = 1024
const LENGTH_BYTES = 8

interface Place {
  readonly name: string
  readonly entry: TensorEntry
  readonly bytes: Uint8Array<ArrayBuffer>
}

/**
 * Reads a safetensors file of some or all of a model's own tensors as it arrives.
 *
 * @param own   what the model has a place for
 * @param total bytes that are announced
 */
export const incomingTensors = (own: TensorShapes, total: number): IncomingTensors => {
  const most = HEADER_BYTES_A_TENSOR * (own.size + 4)
  let head = new Uint8Array(LENGTH_BYTES)
  let places: ReadonlyArray<Place> | undefined
  let [filled, place] = [0, 0]
  let fault: HeaderFault | undefined

  /** @returns how many of the bytes were taken */
  const readHead = (bytes: Uint8Array): number => {
    const part = bytes.subarray(0, head.length - filled)
    head.set(part, filled)
    filled += part.length
    if (filled < head.length) return part.length
    if (filled > LENGTH_BYTES) {
      const found = placesOf(own, head.subarray(LENGTH_BYTES), total - head.length)
      if ("reason" in found) fault = found
      else [places, filled] = [found, 0]
      return part.length
    }
    const length = Number(new DataView(head.buffer).getBigUint64(0, true))
    if (length === 0 || length > most || LENGTH_BYTES + length > total) {
      fault = { reason: `a header of ${length} bytes is not one of ${own.size} tensors in ${total} bytes` }
    } else {
      const longer = new Uint8Array(LENGTH_BYTES + length)
      longer.set(head)
      head = longer
    }
    return part.length
  }

  const readData = (bytes: Uint8Array): number => {
    while (place < places!.length && filled === places![place]!.bytes.length) [place, filled] = [place + 1, 0]
    const target = places![place]?.bytes
    if (target === undefined) {
      fault = { reason: `there are more bytes than the ${total} that were announced` }
      return bytes.length
    }
    const part = bytes.subarray(0, target.length - filled)
    target.set(part, filled)
    filled += part.length
    return part.length
  }

  return {
    push: (bytes) => {
      for (let taken = 0; taken < bytes.length;) {
        taken += (places === undefined ? readHead : readData)(bytes.subarray(taken))
        if (fault !== undefined) return fault
      }
      return undefined
    },
    end: () => {
      const whole = places?.slice(place).every(({ bytes }, i) => bytes.length === (i === 0 ? filled : 0)) === true
      if (fault !== undefined || !whole) return fault ?? { reason: `the bytes end before the ${total} announced` }
      return new Map(places!.map((one) => [one.name, { values: () => valuesOf(one) }]))
    }
  }
}

const placesOf = (own: TensorShapes, header: Uint8Array, dataBytes: number): ReadonlyArray<Place> | HeaderFault => {
  const entries = parseHeader(new TextDecoder().decode(header), dataBytes)
  if (!(entries instanceof Map)) return entries as HeaderFault
  const listed = [...(entries as ReadonlyMap<string, TensorEntry>)].toSorted(([, a], [, b]) => a.start - b.start)
  for (const [name, { dtype, shape }] of listed) {
    const reason = misfit(own, name, shape)
    if (reason !== undefined) return { reason }
    if (readableTypes[dtype] === undefined) return { tensor: name, reason: unreadable(dtype) }
  }
  return listed.map(([name, entry]) => ({ name, entry, bytes: new Uint8Array(entry.end - entry.start) }))
}

const valuesOf = ({ bytes, entry: { dtype } }: Place): Float32Array => readableTypes[dtype]!.widen(bytes)
