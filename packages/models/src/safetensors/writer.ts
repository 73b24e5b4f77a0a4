import { type FileHandle, open } from "node:fs/promises"
import { elementCount } from "../decoder/parameter.ts"
import { type WeightType, writtenTypes } from "./dtype.ts"
import type { TensorValues } from "./stored-tensor.ts"

/** A tensor to be written; its values are asked for when their turn comes. */
export interface WrittenTensor extends TensorValues {
  readonly name: string
}

export const storedBytes = ({ shape }: Pick<WrittenTensor, "shape">, type: WeightType): number =>
  elementCount(shape) * writtenTypes[type].bytes

/** Writes a safetensors file, one tensor in memory at a time, and waits until it is on the disk. */
export const writeSafetensors = async (
  file: string,
  tensors: ReadonlyArray<WrittenTensor>,
  type: WeightType
): Promise<void> => {
  const handle = await open(file, "wx")
  try {
    await writeFully(handle, header(tensors, type))
    for (const { values } of tensors) await writeFully(handle, writtenTypes[type].narrow(await values()))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The bytes of a safetensors file of these tensors as float32, all in memory. */
export const encodeSafetensors = (
  tensors: ReadonlyArray<Pick<WrittenTensor, "name" | "shape"> & { readonly values: Float32Array }>
): Uint8Array<ArrayBuffer> =>
  Buffer.concat([
    header(tensors, "float32"),
    ...tensors.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  ])

/** Eight bytes of length, then JSON padded with spaces so that the data begin at a multiple of eight. */
const header = (tensors: ReadonlyArray<Pick<WrittenTensor, "name" | "shape">>, type: WeightType): Uint8Array => {
  const entries: Record<string, unknown> = { __metadata__: { format: "pt" } }
  let end = 0
  for (const tensor of tensors) {
    const start = end
    end += storedBytes(tensor, type)
    entries[tensor.name] = { dtype: writtenTypes[type].name, shape: tensor.shape, data_offsets: [start, end] }
  }
  const json = new TextEncoder().encode(JSON.stringify(entries))
  const bytes = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true)
  bytes.set(json, 8)
  return bytes
}

/** Node writes at most 2³¹ − 1 bytes at a time, and may write fewer than asked. */
const MAX_WRITE = 2 ** 30

const writeFully = async (handle: FileHandle, bytes: Uint8Array): Promise<void> => {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(MAX_WRITE, bytes.length - done))
    done += bytesWritten
  }
}
