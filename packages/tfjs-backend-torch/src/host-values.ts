import type { backend_util, DataType } from "@tensorflow/tfjs-core"

export type Values = backend_util.BackendValues

export type IndexRange = readonly [least: number, most: number]

/** Smallest and largest. */
export const rangeOf = (values: ArrayLike<number>): IndexRange => {
  let [least, most] = [Infinity, -Infinity]
  for (let i = 0; i < values.length; i++) {
    least = Math.min(least, values[i]!)
    most = Math.max(most, values[i]!)
  }
  return [least, most]
}

/** Whether every value is the same one. */
export const areAlike = (values: ArrayLike<number>): boolean => {
  for (let i = 1; i < values.length; i++) if (values[i] !== values[0]) return false
  return true
}

/** For values that are read. */
export const emptyArray = (dtype: DataType, size: number) =>
  dtype === "float32" ? new Float32Array(size) : dtype === "int32" ? new Int32Array(size) : new Uint8Array(size)

/** tfjs hands over plain arrays, too, and arrays of another kind than the dtype's. */
export const hostArray = (values: Exclude<Values, Array<Uint8Array>>, dtype: DataType) => {
  if (values instanceof Float32Array || values instanceof Int32Array || values instanceof Uint8Array) return values
  const plain = values as unknown as ArrayLike<number>
  return dtype === "float32" ? Float32Array.from(plain) : Int32Array.from(plain)
}
