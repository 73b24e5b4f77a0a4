import { Effect } from "effect"
import { CheckpointInvalid } from "../errors.ts"
import type { SafetensorsFile, TensorPart } from "./reader.ts"

/** Values of a tensor, or a part of it, that a model is to compute with: all must be finite, as not every kernel hands a NaN on. */
export const readWeights = Effect.fnUntraced(function* (
  { file, read }: SafetensorsFile,
  tensor: string,
  part?: TensorPart
): Effect.fn.Return<Float32Array, CheckpointInvalid> {
  const values = yield* read(tensor, part)
  if (areFinite(values)) return values
  const first = values.findIndex((value) => !Number.isFinite(value))
  const reason = `number ${(part?.first ?? 0) + first} is ${values[first]}: no model computes with that`
  return yield* new CheckpointInvalid({ file, tensor, reason })
})

const EXPONENT = 0x7f800000

/** Whether none is infinite or NaN. The exponent of what is has all bits set: one more reaches the sign. */
export const areFinite = ({ buffer, byteOffset, length }: Float32Array): boolean => {
  const bits = new Int32Array(buffer, byteOffset, length)
  let carried = 0
  for (let i = 0; i < length; i++) carried |= (bits[i]! & EXPONENT) + (1 << 23)
  return carried >= 0
}
